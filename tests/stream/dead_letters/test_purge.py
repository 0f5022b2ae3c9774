"""Of a partition only the beginning can go: it ends before the first letter that is to be kept."""

from __future__ import annotations

from dead_letters import letter
from hypothesis import given
from hypothesis import strategies as st

from stream.dead_letters.letter import Place
from stream.dead_letters.purge import plan_purge
from stream.dead_letters.selection import Selection

SPANS = {0: (0, 20), 1: (0, 20), 2: (7, 7)}
SCHEMA = Selection(reasons=frozenset({"schema"}))


def plan(letters, selection=Selection(), replayed=(), *, only_replayed=False, up_to=None):  # noqa: B008
    return plan_purge(letters, SPANS, selection, set(replayed), only_replayed=only_replayed, up_to=up_to or {})


def test_everything_goes_up_to_the_end_marks_too() -> None:
    found = plan([letter(3), letter(5, partition=1)])
    assert found.cuts == {0: 20, 1: 20}  # nothing of a partition that holds nothing
    assert (found.deleted, found.never_replayed, found.behind) == (2, 2, 0)


def test_it_stops_before_what_is_kept_and_says_what_lies_behind() -> None:
    letters = [letter(1), letter(3, reason="empty"), letter(4), letter(6), letter(2, partition=1)]
    found = plan(letters, SCHEMA)
    assert found.cuts == {0: 3, 1: 20}
    assert found.first_kept == {0: Place(0, 3)}
    assert (found.deleted, found.behind) == (2, 2)


def test_only_what_was_sent_again() -> None:
    letters = [letter(1), letter(2), letter(3)]
    found = plan(letters, replayed=[letters[0].identity, letters[2].identity], only_replayed=True)
    assert found.cuts == {0: 2, 1: 20}
    assert (found.deleted, found.never_replayed, found.behind) == (1, 0, 1)


def test_up_to_a_letter_and_of_no_other_partition() -> None:
    found = plan([letter(1), letter(4), letter(9), letter(1, partition=1)], up_to={0: 4})
    assert found.cuts == {0: 5}
    assert (found.deleted, found.behind) == (2, 0)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["schema", "empty"])), max_size=20))
def test_no_letter_that_is_to_be_kept_is_ever_before_a_cut(given) -> None:
    letters = [letter(n, partition=p, reason=reason) for n, (p, reason) in enumerate(given)]
    found = plan(letters, SCHEMA)
    gone = [each for each in letters if each.place.offset < found.cuts.get(each.place.partition, 0)]
    assert {each.reason for each in gone} <= {"schema"}
    assert len(gone) == found.deleted
    assert found.deleted + found.behind == sum(each.reason == "schema" for each in letters)

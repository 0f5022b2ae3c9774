"""What of topics is remembered."""

from __future__ import annotations

from fairness_lists import DAY_MS, T0, collected, one_list, take

from stream.analysis.outcomes.journeys import Range
from stream.wire.records import Event


def test_what_shows_interest_is_taken_once_and_at_its_first_time():
    found = collected()
    take(found, "p", "a", T0 + 5)
    take(found, "p", "a", T0, "view")
    take(found, "p", "b", T0, "dislike")
    found.add_event(Event("p", "query", text="a"), T0)

    person = found.people["p"]
    assert list(person.taken.values()) == [T0]
    assert person.events == 4


def test_lists_are_of_the_range_and_history_is_of_before_too():
    found = collected(asked=Range(T0, T0 + DAY_MS))
    take(found, "p", "a", T0 - DAY_MS)
    take(found, "p", "b", T0 + DAY_MS)
    for at_ms in (T0 - 1, T0, T0 + DAY_MS):
        found.add_list(one_list("p", at_ms, "ab"))

    assert [each.event_ms for each in found.people["p"].lists] == [T0]
    assert len(found.people["p"].taken) == 1


def test_beyond_the_bound_whole_people_are_forgotten_and_the_share_says_so():
    found = collected(rows_max=200)
    for n in range(400):
        take(found, f"u{n}", "a", T0)
        found.add_list(one_list(f"u{n}", T0, "ab"))

    assert sum(person.rows() for person in found.people.values()) <= 200
    assert 0.05 < found.share <= 0.25
    assert all(len(person.lists) == 1 and len(person.taken) == 1 for person in found.people.values())


def test_somebody_who_was_erased_is_not_reported_on():
    found = collected()
    found.add_list(one_list("p", T0, "ab"))
    found.forget("p")

    assert found.lists == 0

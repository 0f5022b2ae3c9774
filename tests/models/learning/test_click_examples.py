"""models/learning/click_examples.py: which items of published lists become examples, when, and once only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learning.click_examples import ClickExamples

WINDOW = 1000
A, B, C = 11, 22, 33
FIRST, SECOND = b"1" * 16, b"2" * 16


def made(**options):
    return ClickExamples(window_ms=WINDOW, parts=2, **options)


def with_list(recommendation=FIRST, user=b"u", items=(A, B, C), at_ms=0, examples=None, **options):
    """Parts of place n are (n, 10 n)."""
    examples = made(**options) if examples is None else examples
    parts = np.array([[n, 10 * n] for n in range(len(items))], np.float32)
    examples.published(user, recommendation, np.array(items, np.uint64), parts, at_ms)
    return examples


def given_out(examples, now_ms):
    """[(place, slot, clicked)] of what is due."""
    due = examples.due(now_ms)
    assert due.parts.dtype == np.float64
    assert due.parts.shape == (len(due.slot), 2)
    assert (due.parts[:, 1] == 10 * due.parts[:, 0]).all()
    return [(int(p[0]), int(s), bool(c)) for p, s, c in zip(due.parts, due.slot, due.clicked, strict=True)]


def test_a_list_alone_teaches_nothing():
    examples = with_list()

    assert given_out(examples, 100 * WINDOW) == []


def test_what_was_shown_and_not_clicked_is_an_example_when_the_window_is_over():
    examples = with_list()
    examples.exposed(b"u", FIRST, B, 5, 10)

    assert given_out(examples, 10 + WINDOW - 1) == []
    assert given_out(examples, 10 + WINDOW) == [(1, 5, False)]
    assert given_out(examples, 10 + 9 * WINDOW) == []


def test_what_was_shown_and_clicked_waits_as_long_as_what_was_not_clicked():
    examples = with_list()
    examples.exposed(b"u", FIRST, B, 5, 10)
    examples.clicked(b"u", FIRST, B, 20)

    assert given_out(examples, 10 + WINDOW - 1) == []
    assert given_out(examples, 10 + WINDOW) == [(1, 5, True)]
    assert given_out(examples, 9 * WINDOW) == []


def test_an_impression_without_a_slot_has_the_place_of_the_published_list():
    examples = with_list()
    examples.exposed(b"u", FIRST, B, 0, 10)

    assert given_out(examples, 10 + WINDOW) == [(1, 2, False)]


@pytest.mark.parametrize("name", [FIRST, None])
def test_a_click_that_comes_before_its_impression_is_one_example_with_that_slot(name):
    examples = with_list()
    examples.clicked(b"u", name, B, 20)
    assert given_out(examples, 25) == []

    examples.exposed(b"u", name, B, 5, 10)

    assert given_out(examples, 10 + WINDOW) == [(1, 5, True)]
    assert given_out(examples, 9 * WINDOW) == []


@pytest.mark.parametrize("asked_between", [True, False])
def test_a_click_more_than_a_window_before_the_impression_is_not_of_it(asked_between):
    examples = with_list()
    examples.clicked(b"u", None, B, 20)
    found = given_out(examples, 20 + WINDOW) if asked_between else []
    examples.exposed(b"u", None, B, 5, 21 + WINDOW)

    assert found + given_out(examples, 9 * WINDOW) == [(1, 5, False)]
    assert examples.counts.clicks_unseen == 1


@pytest.mark.parametrize("impression_first", [True, False])
def test_a_named_click_without_its_impression_counts_as_shown_if_the_list_was_seen(impression_first):
    examples = with_list()
    if impression_first:
        examples.exposed(b"u", FIRST, A, 1, 10)
    examples.clicked(b"u", FIRST, C, 20)
    if not impression_first:
        examples.exposed(b"u", FIRST, A, 1, 10)

    assert given_out(examples, 10 + WINDOW) == [(0, 1, False)]
    assert given_out(examples, 20 + WINDOW) == [(2, 3, True)]


def test_a_click_without_a_name_or_an_impression_of_its_item_says_nothing_of_the_list():
    examples = with_list()
    examples.exposed(b"u", FIRST, A, 1, 10)
    examples.clicked(b"u", None, C, 20)

    assert given_out(examples, 20 + WINDOW) == [(0, 1, False)]
    assert examples.counts.clicks_unseen == 1


def test_clicks_of_a_service_that_sends_no_impressions_teach_nothing():
    examples = with_list()
    examples.clicked(b"u", FIRST, B, 20)

    assert given_out(examples, 20 + WINDOW) == []
    assert examples.counts.clicks_unseen == 1


def test_a_second_click_and_a_second_impression_change_nothing():
    examples = with_list()
    examples.exposed(b"u", FIRST, B, 5, 10)
    examples.exposed(b"u", FIRST, B, 9, 12)
    examples.clicked(b"u", FIRST, B, 20)
    examples.clicked(b"u", FIRST, B, 21)
    examples.exposed(b"u", FIRST, B, 9, 22)

    assert given_out(examples, 9 * WINDOW) == [(1, 5, True)]
    assert examples.counts.repeated == 3


def test_two_impressions_without_a_click_are_one_example():
    examples = with_list()
    examples.exposed(b"u", FIRST, B, 5, 10)
    examples.exposed(b"u", FIRST, B, 9, 500)

    assert given_out(examples, 9 * WINDOW) == [(1, 5, False)]


@pytest.mark.parametrize("asked_between", [True, False])
def test_a_click_after_the_window_is_late_whether_or_not_anybody_asked_meanwhile(asked_between):
    examples = with_list()
    examples.exposed(b"u", FIRST, B, 5, 10)
    found = given_out(examples, 10 + WINDOW) if asked_between else []
    examples.clicked(b"u", FIRST, B, 11 + WINDOW)

    assert found + given_out(examples, 9 * WINDOW) == [(1, 5, False)]
    assert examples.counts.late_clicks == 1


def test_what_is_of_an_unknown_list_user_or_item_is_counted_and_no_example():
    examples = with_list()
    examples.exposed(b"u", SECOND, A, 1, 10)
    examples.exposed(b"v", None, A, 1, 10)
    examples.clicked(b"u", None, 999, 10)

    assert given_out(examples, 9 * WINDOW) == []
    assert examples.counts.unknown == 3


def test_without_a_name_the_newest_list_by_then_that_holds_the_item_is_meant():
    examples = with_list(items=(A, B), at_ms=0)
    with_list(SECOND, items=(C, A), at_ms=100, examples=examples)
    examples.exposed(b"u", None, A, 0, 150)

    assert given_out(examples, 9 * WINDOW) == [(1, 2, False)], "of the second list"

    older = with_list(items=(A, B), at_ms=0)
    with_list(SECOND, items=(C, A), at_ms=100, examples=older)
    older.exposed(b"u", None, A, 0, 50)
    assert given_out(older, 9 * WINDOW) == [(0, 1, False)], "the second one was not there yet"


def test_a_click_without_a_name_is_of_the_list_that_showed_the_item():
    examples = with_list(items=(A, B), at_ms=0)
    examples.exposed(b"u", None, A, 0, 50)
    with_list(SECOND, items=(C, A), at_ms=100, examples=examples)
    examples.clicked(b"u", None, A, 150)

    assert given_out(examples, 50 + WINDOW) == [(0, 1, True)]


def test_a_clock_that_jumps_back_makes_nothing_due_and_takes_nothing_back():
    examples = with_list()
    examples.exposed(b"u", FIRST, A, 1, 10)
    assert given_out(examples, 500) == []
    assert given_out(examples, -10_000) == []
    examples.exposed(b"u", FIRST, B, 2, -5000)

    assert given_out(examples, -10_000) == [(1, 2, False)], "its window was over by the latest time known"
    assert given_out(examples, 10 + WINDOW) == [(0, 1, False)]


def test_the_oldest_user_makes_room_and_what_was_undecided_is_counted():
    examples = with_list(user=b"a", max_users=2)
    examples.exposed(b"a", FIRST, A, 1, 10)
    with_list(user=b"b", examples=examples)
    with_list(user=b"c", examples=examples)
    examples.exposed(b"b", FIRST, A, 1, 10)

    assert len(examples._users) == 2
    assert given_out(examples, 9 * WINDOW) == [(0, 1, False)], "only b's"
    assert examples.counts.dropped == 1


def test_of_a_user_only_the_newest_lists_are_remembered():
    examples = with_list(lists_per_user=1)
    with_list(SECOND, items=(C,), examples=examples)
    examples.exposed(b"u", FIRST, A, 1, 10)
    examples.exposed(b"u", SECOND, C, 1, 10)

    assert examples.counts.unknown == 1
    assert given_out(examples, 9 * WINDOW) == [(0, 1, False)]


def test_of_lists_that_all_wait_the_oldest_makes_room_and_is_counted():
    examples = with_list(lists_per_user=1)
    examples.exposed(b"u", FIRST, A, 1, 10)
    with_list(SECOND, examples=examples)
    examples.exposed(b"u", SECOND, B, 2, 20)

    assert given_out(examples, 9 * WINDOW) == [(1, 2, False)]
    assert examples.counts.dropped == 1


def test_what_was_shown_outlasts_the_lists_that_a_user_is_made_while_browsing():
    examples = with_list(lists_per_user=2)
    examples.exposed(b"u", FIRST, A, 1, 10)
    for n in range(20):
        with_list(n.to_bytes(16), at_ms=20 + n, examples=examples)
    examples.clicked(b"u", FIRST, A, 50)

    assert given_out(examples, 10 + WINDOW) == [(0, 1, True)]
    assert examples.counts.dropped == 0


def test_memory_stays_bounded_whatever_comes():
    examples = made(max_users=3, lists_per_user=2)
    for n in range(500):
        user, recommendation = f"u{n % 50}".encode(), n.to_bytes(16)
        with_list(recommendation, user, examples=examples)
        for item in (A, B, C):
            examples.exposed(user, recommendation, item, 0, n)

    assert len(examples._users) == 3
    assert len(examples._waiting) <= 2 * 3 * 2 * 3 + 3


def test_a_list_published_again_stays_as_it_is():
    examples = with_list()
    examples.exposed(b"u", FIRST, A, 1, 10)
    with_list(examples=examples)
    examples.exposed(b"u", FIRST, A, 1, 10)

    assert given_out(examples, 9 * WINDOW) == [(0, 1, False)]


def test_parts_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="parts of shape"):
        made().published(b"u", FIRST, np.array([A], np.uint64), np.zeros((1, 3), np.float32), 0)


ACTS = st.tuples(
    st.sampled_from(["exposed", "clicked"]),
    st.sampled_from([b"u", b"v"]),
    st.sampled_from([FIRST, SECOND]),
    st.sampled_from([A, B, C]),
    st.integers(0, 3 * WINDOW),
)


@settings(max_examples=150, deadline=None)
@given(acts=st.lists(ACTS, max_size=30), seed=st.integers(0, 3))
def test_named_events_give_the_same_examples_in_whatever_order_users_come(acts, seed):
    """The order of one user's events is the stream's; that of two users' is an accident of partitions and batches."""

    def fed(these):
        examples = made()
        for user in (b"u", b"v"):
            for n, recommendation in enumerate((FIRST, SECOND)):
                with_list(recommendation, user, at_ms=n, examples=examples)
        for kind, user, recommendation, item, at_ms in these:
            if kind == "exposed":
                examples.exposed(user, recommendation, item, 0, at_ms)
            else:
                examples.clicked(user, recommendation, item, at_ms)
        due = examples.due(10 * WINDOW)
        return due.parts.tobytes(), due.slot.tobytes(), due.clicked.tobytes()

    assert fed(acts) == fed(sorted(acts, key=lambda act: act[1], reverse=bool(seed % 2)))


@settings(max_examples=150, deadline=None)
@given(acts=st.lists(ACTS, max_size=30))
def test_an_item_of_a_list_is_at_most_one_example(acts):
    examples = made()
    for recommendation in (FIRST, SECOND):
        with_list(recommendation, examples=examples)
    shown = set()
    for kind, _, recommendation, item, at_ms in acts:
        if kind == "exposed":
            examples.exposed(b"u", recommendation, item, 0, at_ms)
            shown.add((recommendation, item))
        else:
            examples.clicked(b"u", recommendation, item, at_ms)
    due = examples.due(10 * WINDOW)

    assert len(shown) <= len(due.slot) <= 6 * bool(shown), "what was shown is always an example, clicked or not"

"""Pairs, windows and questions from engagements; ranks and gains from vectors. No torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.encoder.errors import ModelError
from models.items.co_occurrence import pair_increments
from models.training.encoder.evaluation import make_task, metrics, reciprocal_ranks
from models.training.encoder.pairs import EngagedPairs, Neighbourhood, Queries, co_engaged, drawn, next_queries
from models.training.encoder.plan import Corpus, learning_rate, plan, steps_of
from models.training.encoder.settings import FinetuneSettings
from models.training.engagements import Engagements, between, engagements, split
from models.training.result import gain_and_error

NEAR = Neighbourhood(places=3, within_ms=1000, decay=0.5)


def engaged(*rows):
    user, item, time_ms = zip(*rows, strict=True) if rows else ((), (), ())
    return engagements(np.array(user, np.int32), np.array(item, np.int32), np.array(time_ms, np.int64))


def as_dict(pairs):
    return dict(zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.weight.tolist(), strict=True))


def test_only_the_first_engagement_of_a_user_with_an_item_counts_in_order_of_time():
    found = engaged((1, 7, 30), (0, 5, 20), (0, 6, 10), (0, 5, 5), (0, 6, 40))
    assert found.user.tolist() == [0, 0, 1]
    assert found.item.tolist() == [5, 6, 7]
    assert found.time_ms.tolist() == [5, 10, 30]


def test_a_pair_weighs_less_with_every_place_between_and_adds_up_over_users():
    events = engaged((0, 1, 0), (0, 2, 1), (0, 3, 2), (1, 3, 0), (1, 1, 1))
    assert as_dict(co_engaged(events, NEAR)) == {(1, 2): 1.0, (2, 3): 1.0, (1, 3): 0.5 + 1.0}


def test_items_far_apart_in_time_or_in_the_history_are_no_pair():
    assert as_dict(co_engaged(engaged((0, 1, 0), (0, 2, 1001)), NEAR)) == {}
    events = engaged(*((0, n, n) for n in range(5)))
    assert (0, 4) not in as_dict(co_engaged(events, NEAR))
    assert as_dict(co_engaged(events, NEAR))[0, 3] == 0.25


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=40))
def test_pairs_weigh_as_the_workers_co_occurrence_does(rows):
    events = engaged(*((user, item, n) for n, (user, item) in enumerate(rows)))
    near = Neighbourhood(places=4, within_ms=10**9, decay=0.9)
    new, history = [], []
    for row in range(events.user.size):
        before = [
            events.item[row - q] + 1 for q in range(1, 5) if row >= q and events.user[row - q] == events.user[row]
        ]
        new.append(events.item[row] + 1)
        history.append(before + [0] * (4 - len(before)))
    source, destination, weight, _ = pair_increments(np.array(new, np.uint64), np.array(history, np.uint64), 0.9, 0.6)
    expected = {
        (int(a) - 1, int(b) - 1): w for a, b, w in zip(source, destination, weight.tolist(), strict=True) if a < b
    }
    assert as_dict(co_engaged(events, near)) == pytest.approx(expected)


def test_the_windows_follow_each_other_and_no_moment_is_torn_apart():
    times = np.array([1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 9, 10], np.int64)
    windows = split(times, 0.25, 0.25)
    assert windows == (7, 8)  # not in the middle of the three 8s
    assert split(np.full(9, 5, np.int64), 0.2, 0.2) is None
    assert split(np.empty(0, np.int64), 0.2, 0.2) is None


def test_no_pair_reaches_into_a_later_window():
    events = engaged((0, 1, 0), (0, 2, 10), (0, 3, 20))
    assert as_dict(co_engaged(between(events, None, 20), NEAR)) == {(1, 2): 1.0}


def test_a_question_is_about_what_follows_within_its_window_and_may_start_before():
    events = engaged((0, 1, 0), (0, 2, 10), (0, 3, 20), (1, 9, 15))
    queries = next_queries(events, NEAR, 10, 20)
    assert (queries.item.tolist(), queries.target.tolist()) == ([1], [2])
    queries = next_queries(events, NEAR, 20, None)
    assert (queries.item.tolist(), queries.target.tolist()) == ([2], [3])


def test_pairs_are_drawn_as_often_as_they_weigh_and_both_ways_round():
    pairs = EngagedPairs(np.array([0, 2], np.int32), np.array([1, 3], np.int32), np.array([1.0, 3.0]))
    left, right = drawn(pairs, np.cumsum(pairs.weight), 20_000, np.random.default_rng(0))
    assert np.isin(left, (2, 3)).mean() == pytest.approx(0.75, abs=0.02)
    assert (left < right).mean() == pytest.approx(0.5, abs=0.02)
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == {(0, 1), (1, 0), (2, 3), (3, 2)}


def unit(*rows):
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_ranks_by_hand_leave_the_item_asked_about_out():
    task = make_task(Queries(np.array([0, 0], np.int32), np.array([1, 2], np.int32)), 4, 10, 10, 0)
    vectors = unit((1, 0), (1, 0.1), (0, 1), (1, 1))
    assert reciprocal_ranks(task, vectors).tolist() == [1.0, 1 / 3]
    assert metrics(task, vectors) == (1.0, pytest.approx(2 / 3), 2, 4)


def test_vectors_that_are_all_the_same_win_nothing():
    task = make_task(Queries(np.array([0], np.int32), np.array([1], np.int32)), 30, 10, 30, 0)
    assert reciprocal_ranks(task, unit(*[(1, 0)] * 30)).tolist() == [1 / 29]


def test_a_task_is_the_same_each_time_and_holds_what_is_asked_about():
    rng = np.random.default_rng(0)
    queries = Queries(rng.integers(0, 500, 300).astype(np.int32), rng.integers(0, 500, 300).astype(np.int32))
    task, again = (make_task(queries, 1000, 50, 200, 7) for _ in range(2))
    np.testing.assert_array_equal(task.candidates, again.candidates)
    assert (task.queries.item.size, task.candidates.size) == (50, 200)
    assert np.isin(np.concatenate(task.queries), task.candidates).all()


def test_a_gain_comes_with_its_error():
    gain, error = gain_and_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0, 1.0]))
    assert (gain, error) == (0.25, pytest.approx(0.25))


def test_the_learning_rate_rises_then_falls_and_ends_above_zero():
    settings = FinetuneSettings(learning_rate=1.0, warmup_share=0.2)
    rates = [learning_rate(step, 10, settings) for step in range(10)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.2
    assert steps_of(1000, FinetuneSettings(batch=10, accumulate=2, epochs=0.5), 5) == 5


def corpus(old=None):
    events = engaged(*((user, (user + n) % 7, user * 10 + n) for user in range(40) for n in range(4)))
    return Corpus([f"text {n}" for n in range(7)], events, old)


def test_a_plan_trains_on_the_past_only():
    found = plan(corpus(), NEAR, FinetuneSettings())
    edge = split(corpus().events.time_ms, 0.1, 0.1).validation_ms
    assert as_dict(found.pairs) == as_dict(co_engaged(between(corpus().events, None, edge), NEAR))
    assert found.old_pairs is None


def test_old_events_in_the_new_windows_are_not_trained_on():
    found = plan(corpus(old=corpus().events), NEAR, FinetuneSettings())
    assert as_dict(found.old_pairs) == as_dict(
        found.pairs
    )  # cut at the new validation window, not at its own test window


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (engaged(*((n, 1, 5) for n in range(20))), "cannot be split"),
        (engaged(*((n, 1, n) for n in range(20))), "no user has two items"),
    ],
)
def test_events_that_nothing_can_be_learned_from_are_refused(events, said):
    with pytest.raises(ModelError, match=said):
        plan(Corpus(["a", "b"], events), NEAR, FinetuneSettings())


def test_engagements_are_columns_of_one_length():
    assert isinstance(engaged(), Engagements)
    assert engaged().item.size == 0

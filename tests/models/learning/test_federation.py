"""What a broken or lying client can do to a round: nothing, or little."""

from __future__ import annotations

import numpy as np
import pytest

from models.learning.federation import EXAMPLES_TIMES, NORM_TIMES, Update, judged

BEFORE = {"table": np.ones((2, 3)), "bias": np.zeros(2)}


def update(client: str, add: float = 0.1, examples: float = 10.0, **arrays):
    return Update(client, {name: value + add for name, value in BEFORE.items()} | arrays, examples)


def test_updates_of_honest_clients_count_as_they_are():
    updates = [update("a"), update("b", 0.2), update("c", -0.1, 20.0)]

    kept, verdicts = judged(BEFORE, updates)

    assert kept == updates
    assert [v.refused for v in verdicts] == [""] * 3
    assert verdicts[1].norm == pytest.approx(0.2 * np.sqrt(8))
    assert [v.examples for v in verdicts] == [10.0, 10.0, 20.0]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (update("x", np.nan), "table has numbers that are not finite"),
        (update("x", table=np.full((2, 3), np.inf)), "not finite"),
        (update("x", table=np.ones((3, 2))), "table has shape (3, 2)"),
        (update("x", table=np.ones((2, 3), np.int64)), "of int64"),
        (update("x", other=np.ones(1)), "other arrays than it was sent"),
        (Update("x", {}, 10.0), "other arrays than it was sent"),
        (update("x", examples=np.nan), "learned from nan examples"),
        (update("x", examples=0.0), "learned from 0 examples"),
        (update("x", examples=-5.0), "learned from -5 examples"),
        (update("x", examples=np.inf), "learned from inf examples"),
    ],
)
def test_what_is_no_update_is_refused_with_its_reason_and_the_others_count(bad: Update, why: str):
    kept, verdicts = judged(BEFORE, [update("a"), bad, update("b")])

    assert [u.client for u in kept] == ["a", "b"]
    assert why in verdicts[1].refused
    assert (verdicts[0].refused, verdicts[2].refused) == ("", "")


def test_an_update_that_is_too_long_is_shortened_and_keeps_its_direction():
    kept, verdicts = judged(BEFORE, [update("a"), update("b"), update("liar", 1e6)])

    honest = 0.1 * np.sqrt(8)
    sent = np.sqrt(sum(np.square(value - BEFORE[name]).sum() for name, value in kept[2].arrays.items()))
    assert sent == pytest.approx(NORM_TIMES * honest)
    assert verdicts[2].scale == pytest.approx(NORM_TIMES * honest / (1e6 * np.sqrt(8)))
    assert np.ptp(kept[2].arrays["table"]) == pytest.approx(0.0)


def test_a_bound_may_be_given():
    kept, verdicts = judged(BEFORE, [update("a", 0.1), update("b", 0.1)], norm_max=0.05)

    assert all(v.scale < 1.0 for v in verdicts)
    assert all(np.allclose(u.arrays["bias"], 0.05 / np.sqrt(8)) for u in kept)


def test_nobody_counts_many_times_as_much_as_the_others():
    kept, _ = judged(BEFORE, [update("a"), update("b"), update("greedy", examples=1e12)])

    assert kept[2].examples == EXAMPLES_TIMES * 10.0


def test_where_nobody_sends_an_update_nothing_counts():
    kept, verdicts = judged(BEFORE, [update("x", np.nan), update("y", examples=0.0)])

    assert kept == []
    assert all(v.refused for v in verdicts)
    assert judged(BEFORE, []) == ([], [])


def test_where_most_change_nothing_one_that_does_is_not_lost_and_a_liar_is_shortened():
    updates = [update("a", 0.0), update("b", 0.0), update("c", 0.0), update("d", 0.1), update("liar", 1e3)]

    kept, verdicts = judged(BEFORE, updates)

    assert [v.scale < 1.0 for v in verdicts] == [False, False, False, False, True]
    assert np.allclose(kept[3].arrays["bias"], 0.1)

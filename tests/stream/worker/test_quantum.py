"""Deltas have a share of the time, in slices that an event does not notice, also beside lists without end. Time is
simulated."""

from __future__ import annotations

import pytest

from stream.worker.quantum import COST_S, FAR_BEHIND, LEAST_S, MOST_S, SHARE, SHARE_BEHIND, Quantum


def share_of_time(batch_s: float, behind: int, delta_s: float = 1e-5) -> tuple[float, float]:
    """`(share, longest)` of deltas that never end, of which each takes `delta_s`, beside batches of lists that never end."""
    quantum, now, took_s, longest_s = Quantum(), 0.0, 0.0, 0.0
    for turn in range(1000):
        deltas = quantum.deltas(now, behind)
        now += deltas * delta_s
        quantum.took(deltas, deltas * delta_s, now)
        if turn >= 100:  # it knows by then what a delta costs
            took_s, longest_s = took_s + deltas * delta_s, max(longest_s, deltas * delta_s)
        now += batch_s
    return took_s / (took_s + 900 * batch_s), longest_s


@pytest.mark.parametrize(("behind", "share"), [(0, SHARE), (FAR_BEHIND, SHARE_BEHIND), (10 * FAR_BEHIND, SHARE_BEHIND)])
def test_deltas_have_their_share_beside_lists_without_end_and_more_of_it_the_further_they_are_behind(
    behind: int, share: float
) -> None:
    found, longest_s = share_of_time(0.038, behind)
    assert found == pytest.approx(share, rel=0.05)
    assert longest_s <= MOST_S


@pytest.mark.parametrize("delta_s", [1e-6, 1e-5, 1e-4])
def test_an_event_never_waits_long_for_deltas_whatever_they_cost(delta_s: float) -> None:
    assert share_of_time(1.0, 10 * FAR_BEHIND, delta_s)[1] <= MOST_S


def test_where_nothing_else_is_to_be_done_a_slice_is_short_and_the_next_follows_at_once() -> None:
    quantum = Quantum()
    for turn in range(10):
        assert quantum.deltas(turn * 0.002, FAR_BEHIND) == int(LEAST_S / COST_S)
        quantum.took(400, 400 * COST_S, (turn + 1) * 0.002)

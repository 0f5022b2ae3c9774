"""Deltas have a share of the time, in slices that an event does not notice, also beside lists without end. Time is
simulated."""

from __future__ import annotations

import pytest

from stream.worker.quantum import COST_S, FAR_BEHIND, MOST_S, SHARE, SHARE_BEHIND, SLICE_S, Quantum


def share_of_time(batch_s: float, behind: int, delta_s: float = 1e-5) -> tuple[float, float]:
    """`(share, longest)` of deltas that never end, of which each takes `delta_s`, beside batches of lists that never end."""
    quantum, now, took_s, longest_s, began = Quantum(0.0), 0.0, 0.0, 0.0, 0.0
    for turn in range(2000):
        if turn == 200:  # it knows by then what a delta costs
            took_s, began = 0.0, now
        deltas = quantum.deltas(now, behind, events_wait=True)
        if deltas:
            now += deltas * delta_s
            quantum.took(deltas, deltas * delta_s)
            took_s += deltas * delta_s
            longest_s = max(longest_s, deltas * delta_s) if turn >= 200 else 0.0
        now += batch_s
    return took_s / (now - began), longest_s


@pytest.mark.parametrize("batch_s", [0.001, 0.01, 0.035])
@pytest.mark.parametrize(("behind", "share"), [(0, SHARE), (FAR_BEHIND, SHARE_BEHIND), (10 * FAR_BEHIND, SHARE_BEHIND)])
def test_deltas_have_their_share_beside_lists_without_end_and_more_of_it_the_further_they_are_behind(
    batch_s: float, behind: int, share: float
) -> None:
    found, longest_s = share_of_time(batch_s, behind)
    assert found == pytest.approx(share, rel=0.1)
    assert longest_s <= 1.01 * MOST_S


@pytest.mark.parametrize("delta_s", [1e-6, 1e-5, 1e-4])
def test_an_event_never_waits_long_for_deltas_whatever_they_cost(delta_s: float) -> None:
    assert share_of_time(1.0, 10 * FAR_BEHIND, delta_s)[1] <= 1.01 * MOST_S


def test_while_nobody_with_an_event_waits_slices_are_short_and_follow_each_other() -> None:
    quantum = Quantum(0.0)
    for turn in range(10):
        assert quantum.deltas(turn * SLICE_S, FAR_BEHIND, events_wait=False) == int(SLICE_S / COST_S)
        quantum.took(400, 400 * COST_S)
    assert quantum.deltas(10 * SLICE_S, 0, events_wait=True) == 0, "then it has had its share"

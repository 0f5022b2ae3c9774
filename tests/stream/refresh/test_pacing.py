"""Pacing, by itself and in a simulated worker: who has an event waits for nobody else, and every list is made some day."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from stream.refresh.pacing import BUDGET_S, LONG_S, OTHERS_BURST_S, OTHERS_SHARE, SLICE_S, Pacing

BATCH_S, LIST_S = 0.0005, 0.0004
"""What a batch costs by itself, and each list in it: about 2,300 lists a second in batches of 64."""


def settled(list_s: float, max_users: int = 64) -> Pacing:
    pacing = Pacing(max_users, 0.0)
    for _ in range(100):
        pacing.took(10, 10 * list_s, on_others_turn=False)
    return pacing


def test_a_batch_fits_into_its_budget_until_somebody_has_waited_long():
    pacing = settled(0.0005)
    assert pacing.users(0.0) == round(BUDGET_S / 0.0005)
    assert pacing.others == round(SLICE_S / 0.0005)
    assert pacing.users(LONG_S) == 64
    assert settled(1.0).users(0.0) == settled(1.0).others == 1
    assert settled(1e-9).users(0.0) == 64


def test_others_have_a_small_share_of_the_time_and_can_save_a_little_of_it():
    pacing = Pacing(64, 0.0)
    assert pacing.is_others_turn(0.0)
    pacing.took(4, 3 * OTHERS_BURST_S, on_others_turn=True)
    owed_s = 2 * OTHERS_BURST_S
    assert not pacing.is_others_turn(0.99 * owed_s / OTHERS_SHARE)
    assert pacing.is_others_turn(1.01 * owed_s / OTHERS_SHARE)
    pacing.took(4, 1.0, on_others_turn=False)
    assert pacing.is_others_turn(1.01 * owed_s / OTHERS_SHARE), "what idle time was used for is not taken off"


def simulate(load: float, others: int, seconds: float = 20.0, seed: int = 1) -> tuple[np.ndarray, int]:
    """A worker with Poisson arrivals at `load` times what it can make: how long each waited, s, and how many others were made.

    `others` wait from the beginning, and as many come again as soon as they are made.
    """
    rng = np.random.default_rng(seed)
    rate = load / (BATCH_S / 64 + LIST_S)
    arrivals = deque(np.cumsum(rng.exponential(1 / rate, int(rate * seconds * 1.2))).tolist())
    pacing, now, waiting, waited, made = Pacing(64, 0.0), 0.0, deque(), [], 0
    while now < seconds:
        while arrivals and arrivals[0] <= now:
            waiting.append(arrivals.popleft())
        turn = bool(waiting) and pacing.is_others_turn(now)
        if waiting and not (turn and others):
            size = min(len(waiting), pacing.users(now - waiting[0]))
        elif others:
            size = min(others, pacing.others)
        else:
            now = arrivals[0]
            continue
        took_s = BATCH_S + size * LIST_S
        now += took_s
        if waiting and not (turn and others):
            waited += [now - waiting.popleft() for _ in range(size)]
        else:
            made += size
        pacing.took(size, took_s, on_others_turn=turn and bool(others))
    return np.array(waited), made


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8])
def test_others_without_end_do_not_keep_users_with_events_waiting(load: float) -> None:
    alone, _ = simulate(load, others=0)
    beside, made = simulate(load, others=10_000)
    assert made > 0
    for q in (50, 99):
        # A slice that has just begun, a batch of their own, and the small share: no more than that, whatever waits.
        assert np.percentile(beside, q) <= 1.5 * np.percentile(alone, q) + 2 * SLICE_S + BATCH_S


def test_at_low_load_a_list_is_made_at_once_and_others_have_the_rest_of_the_time() -> None:
    waited, made = simulate(0.1, others=10_000)
    assert np.percentile(waited, 99) < 3 * BUDGET_S
    assert made * LIST_S > 0.5 * 20.0


def test_others_are_made_even_when_there_is_too_much_to_do() -> None:
    waited, made = simulate(1.5, others=10_000)
    assert made * LIST_S >= 0.5 * OTHERS_SHARE * 20.0
    assert len(waited) * LIST_S > 0.9 * 20.0, "and the rest of the time is not lost"

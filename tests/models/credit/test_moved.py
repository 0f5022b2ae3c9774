"""Moved places beside unmoved ones: by hand, and where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.credit.moved import moved_beside_unmoved


def test_by_hand() -> None:
    moved = np.array([0, 0, 0, 0, 1, 1, 2])
    slot = np.array([1, 1, 2, 2, 1, 2, 3])
    clicked = np.array([1.0, 0, 1, 1, 0, 1, 1])
    bought = np.array([0.0, 0, 0, 0, 0, 1, 0])
    found = moved_beside_unmoved(moved, slot, clicked, bought, np.arange(7))

    assert (found[1].exposures, found[1].clicks, found[1].purchases) == (2, 1, 1)
    assert found[1].rate == 0.5
    assert found[1].unmoved_rate == pytest.approx((0.5 + 1.0) / 2)
    assert found[1].difference is not None
    assert found[1].difference.value == pytest.approx(((0 - 0.5) + (1 - 1.0)) / 2)
    assert np.isnan(found[2].unmoved_rate)
    assert found[2].difference is None
    assert moved_beside_unmoved(moved[:4], slot[:4], clicked[:4], bought[:4], np.arange(4)) == {}


def test_intervals_hold_a_planted_difference_and_position_bias_is_in_neither() -> None:
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(400), 10)
        slot = np.tile(np.arange(1, 11), 400)
        moved = (rng.random(4000) < np.where(slot > 5, 0.4, 0.1)).astype(int)
        rate = 0.3 / slot + 0.05 * moved
        clicked = (rng.random(4000) < rate).astype(float)
        difference = moved_beside_unmoved(moved, slot, clicked, np.zeros(4000), person)[1].difference
        assert difference is not None
        low, high = difference.interval
        held += low <= 0.05 <= high
    assert held >= 88

"""models/credit/explored: what was drawn beside what was kept, from sums alone."""

from __future__ import annotations

import numpy as np
import pytest

from models.credit.explored import beside_kept
from models.credit.off_policy import add_up, sums_of
from models.vocabulary import EXPLORE, INTEREST, POPULAR


def sums(*rows):
    """(strategy, slot, clicked, propensity)"""
    strategy, slot, clicked, p = zip(*rows, strict=True)
    return sums_of(strategy, slot, np.zeros(len(rows), int), clicked, p)


def test_by_hand() -> None:
    found = beside_kept(
        sums(
            (EXPLORE, 4, True, 0.1), (EXPLORE, 4, False, 0.02), (EXPLORE, 4, False, 0.2), (EXPLORE, 4, False, 0.2),
            (INTEREST, 4, True, 0.5), (POPULAR, 4, False, 0.5), (INTEREST, 4, True, 0.8),  # odds 1, 1, 1/4
            (INTEREST, 4, True, 1.0), (INTEREST, 5, True, 0.5),
        ), EXPLORE,
    )  # fmt: skip

    assert found.slot.tolist() == [4]
    assert (found.exposures.tolist(), found.clicks.tolist()) == ([4], [1])
    assert found.drawn.value.tolist() == [0.25]
    assert found.weight == pytest.approx([2.25])
    assert found.kept.value == pytest.approx([1.25 / 2.25])
    assert found.kept_effective == pytest.approx([2.25**2 / (2 + 1 / 16)])
    assert found.kept.low[0] < 1.25 / 2.25 < found.kept.high[0]


def test_places_that_are_always_drawn_have_nothing_beside_them() -> None:
    found = beside_kept(sums((EXPLORE, 4, True, 0.5), *[(INTEREST, 4, True, 1.0)] * 1000), EXPLORE)

    assert found.drawn.value.tolist() == [1.0]
    assert np.isnan(found.kept.value).all()
    assert found.kept_effective.tolist() == [0.0]


def test_nothing_was_explored() -> None:
    assert len(beside_kept(sums((INTEREST, 4, True, 1.0)), EXPLORE).slot) == 0
    assert len(beside_kept(add_up([]), EXPLORE).slot) == 0


def test_a_change_of_the_rate_and_other_people_do_not_matter() -> None:
    """Half of the time few clicks and a rate of .2, half of it many and .8; newcomers, who click all the time, see no draws."""
    held = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        late = rng.random(6_000) < 0.5
        rate = np.where(late, 0.8, 0.2)
        drawn = rng.random(6_000) < rate
        chance = np.where(late, 0.4, 0.1) * np.where(drawn, 0.5, 1.0)
        clicked = rng.random(6_000) < chance
        p = np.where(drawn, rate * rng.choice([0.2, 0.05], 6_000), 1.0 - rate)
        strategy = np.where(drawn, EXPLORE, INTEREST)
        of_draws = sums_of(strategy, np.full(6_000, 8), np.zeros(6_000, int), clicked, p)
        found = beside_kept(add_up([of_draws, sums(*[(INTEREST, 8, True, 1.0)] * 500)]), EXPLORE)
        expected = 0.8 * 0.4 + 0.2 * 0.1  # of what was kept, were it shown as often as what was drawn, then as then
        held += found.kept.low[0] <= expected <= found.kept.high[0]
        assert found.weight[0] == pytest.approx(found.exposures[0], rel=0.15)
        assert found.drawn.value[0] == pytest.approx(expected / 2, abs=0.04)

    assert held >= 26

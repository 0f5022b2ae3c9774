"""The weight of fatigue where it is known: found, its interval true, and not mistaken for what ranks high being shown again."""

from __future__ import annotations

import numpy as np
import pytest

from models.learning.fatigue_fit import fit_fatigue


def world(seed, weight, n=6000, people=400, slope=1.0):
    """Items that score high are shown more often, so they are seen before more often, too."""
    rng = np.random.default_rng(seed)
    score = rng.normal(0.0, 1.5, n)
    person, slot = rng.integers(0, people, n), rng.integers(1, 11, n)
    seen = rng.poisson(np.exp(0.4 * score - 0.5)) * rng.random(n)
    taste = rng.normal(0.0, 0.3, people)[person]
    logit = -1.5 + slope * (score - weight * seen) - 0.3 * np.log2(1.0 + slot) + taste
    return score, slot, seen, (rng.random(n) < 1.0 / (1.0 + np.exp(-logit))).astype(float), person


def test_intervals_hold_the_truth():
    held = 0
    for seed in range(60):
        low, high = fit_fatigue(*world(seed, 0.5)).interval
        held += low <= 0.5 <= high
    assert held >= 52


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_it_is_told_in_units_of_the_score(weight):
    found = [fit_fatigue(*world(seed, weight, slope=0.6)).weight for seed in range(10)]
    assert np.mean(found) == pytest.approx(weight, abs=0.12)


def test_without_the_score_what_is_shown_again_would_look_liked():
    score, slot, seen, clicked, person = world(1, 0.3, n=20_000)
    rates = [clicked[seen > 0.0].mean(), clicked[seen == 0.0].mean()]
    assert rates[0] > rates[1]
    assert fit_fatigue(score, slot, seen, clicked, person).interval[0] > 0.0


def test_where_scores_do_not_order_clicks_nothing_is_said():
    rng = np.random.default_rng(0)
    n = 4000
    clicked = (rng.random(n) < 0.2).astype(float)
    found = fit_fatigue(-rng.normal(size=n), np.ones(n, np.int64), rng.random(n), clicked, np.arange(n))
    assert np.isnan(found.weight)
    with pytest.raises(ValueError, match="clicked"):
        fit_fatigue(np.zeros(3), np.ones(3, np.int64), np.zeros(3), np.zeros(3), np.arange(3))

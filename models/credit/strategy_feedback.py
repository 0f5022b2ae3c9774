"""What strategies earned, turned into something that ranking adds: do the places of a strategy get more clicks than others
would have got in the same slots and contexts?

Per strategy the observed clicks are divided by the expected ones, those of the same exposures at the click rate that their slot
and context have over all strategies (indirect standardisation; Breslow & Day 1987, section 2.3). So a strategy that is always
shown at the top is not credited for the top. Exposures count 1 / propensity. The ratio is drawn towards 1 by `PRIOR_CLICKS`
(a Gamma prior), and its logarithm is bounded: a score is a sum of log-odds, and so this is a part of it like others.

What it cannot see: other users. Where strategies are shown to different people and nothing is left to chance, a difference
between the people looks like one between the strategies; hence the bound.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.credit.off_policy import CellSums
from models.vocabulary import EXPLORE, UNKNOWN

PRIOR_CLICKS: Final = 100.0
"""Clicks that the prior is worth."""

NOT_RANKED: Final = (EXPLORE, UNKNOWN)
"""Strategies that ranking does not choose among: what is drawn, and other systems' lists."""


def strategy_feedback(sums: CellSums, strategies: int, bound: float) -> NDArray[np.float64]:
    """(strategies,) float64 within [-bound, bound]: what to add to the score of an item of each strategy.

    0 where a strategy was not shown, or if there is only one. Cells without a known slot are passed over, and so is what was
    drawn to be explored: ranking does not choose it, and its propensities are those of items, so that it would count as often
    as its pool has items.
    """
    added = np.zeros(strategies)
    known = (sums.slot > 0) & ~np.isin(sums.strategy, NOT_RANKED) & (sums.inverse_propensity > 0)
    if bound <= 0.0 or not known.any():
        return added
    strategy, weight = sums.strategy[known], sums.inverse_propensity[known]
    clicks = sums.clicks_inverse_propensity[known]
    _, place = np.unique(np.stack([sums.slot[known], sums.context[known]], axis=1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    rate = np.bincount(place, clicks) / np.bincount(place, weight)
    observed = np.bincount(strategy, clicks, strategies)
    expected = np.bincount(strategy, weight * rate[place], strategies)
    shown = np.bincount(strategy, weight, strategies) > 0
    ratio = (observed + PRIOR_CLICKS) / (expected + PRIOR_CLICKS)
    added[shown] = np.clip(np.log(ratio[shown]), -bound, bound)
    return added

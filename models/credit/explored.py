"""Clicks of places that were drawn beside those of the same places where they kept their item, from the sums of cells.

A place that explores is drawn at a rate r and keeps its item, of whatever strategy, with propensity 1 - r. Kept exposures
count by their odds r / (1 - r) = 1 / p - 1: so many drawn ones each stands for, also where the rate was changed meanwhile; and
places that nothing was drawn for (p = 1: other people, other times) count nothing. All of it follows from sums over exposures:

    weight  sum of 1/p - sum of 1        clicks  sum of c/p - sum of c        of squares  sum of 1/p^2 - 2 sum of 1/p + sum of 1
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.credit.off_policy import Bounded, CellSums, bounded


class Beside(NamedTuple):
    """Of s slots in which something was drawn, ascending."""

    slot: I8
    exposures: F8
    """(s,) drawn."""
    clicks: F8
    drawn: Bounded
    """Click rate of what was drawn."""
    kept: Bounded
    """Of what was kept, by odds; NaN where nothing was."""
    kept_effective: F8
    """(s,) kept exposures that a sample without weights would need for as much certainty (Kish 1965)."""
    weight: F8
    """(s,) sum of the odds: about `exposures`, if impressions of both are sent alike."""


def beside_kept(sums: CellSums, explore: int) -> Beside:
    """Contexts are taken together; `explore` is the code of the strategy that places are drawn by."""
    is_drawn = sums.strategy == explore
    slots = np.unique(sums.slot[is_drawn & (sums.exposures > 0)])
    place = np.searchsorted(slots, sums.slot)
    there = place < len(slots)
    there[there] = slots[place[there]] == sums.slot[there]

    def added(values: F8, which: NDArray[np.bool_]) -> F8:
        rows = there & which
        found: F8 = np.bincount(place[rows], values[rows], len(slots)).astype(np.float64)
        return found

    shown, clicks = added(sums.exposures, is_drawn), added(sums.clicks, is_drawn)
    weight = added(sums.inverse_propensity - sums.exposures, ~is_drawn)
    squares = added(sums.inverse_propensity_squared - 2 * sums.inverse_propensity + sums.exposures, ~is_drawn)
    clicked = added(sums.clicks_inverse_propensity - sums.clicks, ~is_drawn)
    clicked_squares = added(
        sums.clicks_inverse_propensity_squared - 2 * sums.clicks_inverse_propensity + sums.clicks, ~is_drawn
    )
    # Of sums of many exposures with p = 1 a little is left by rounding.
    some = (weight > 1e-6) & (squares > 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = clicks / shown
        kept = np.where(some, clicked / weight, np.nan)
        variance = (clicked_squares * (1 - 2 * kept) + kept**2 * squares) / weight**2
        effective = np.where(some, weight**2 / squares, 0.0)
    return Beside(
        slots, shown, clicks, bounded(rate, rate * (1 - rate) / shown, shown), bounded(kept, variance, effective),
        effective, np.where(some, weight, 0.0),
    )  # fmt: skip

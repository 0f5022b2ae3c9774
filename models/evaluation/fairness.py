"""How attention is shared out among items, against what they deserve, and how lists stray from what a person takes. Pure.

Exposure: Diaz, Mitra, Ekstrand, Biega and Carterette, "Evaluating stochastic rankings with expected exposure" (CIKM 2020): a
person looks at place r with probability patience^(r - 1) (rank-biased precision: Moffat and Zobel, TOIS 2008), and a ranking
that is as good as can be gives everything that is equally relevant the same exposure (section 3). Amortised, it is compared as
sums over many lists: Biega, Gummadi and Weikum, "Equity of attention" (SIGIR 2018, section 3).

Popularity: Abdollahpouri, Mansoury, Burke and Mobasher, "The unfairness of popularity bias in recommendation" (RMSE at RecSys
2019). Calibration: Steck, "Calibrated recommendations" (RecSys 2018, section 3).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8

HEAD, MIDDLE, TAIL = range(3)
"""Tiers of popularity."""

TIER_SHARE: Final = 0.2
"""Of all engagements: what the most popular items have together, and what the least popular ones do (2019, above)."""

SMOOTHING: Final = 0.01
"""Of the list's distribution with the person's own, so that the divergence is finite (Steck 2018, equation 6)."""


def examined(places: int, patience: float) -> F8:
    """(places,) probability that each place is looked at, from the first; `patience` in (0, 1)."""
    weights: F8 = patience ** np.arange(places, dtype=np.float64)
    return weights


def target_exposure(relevant: I8, patience: float) -> F8:
    """(q,) exposure that each of a list's `relevant` items, q counts >= 1, has where the list is as good as can be.

    They take the first places in an order drawn at random: each has the mean of what those places have.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found: F8 = (1.0 - patience**relevant) / (relevant * (1.0 - patience))
    return found


def popularity_tiers(people: I8) -> NDArray[np.int8]:
    """(n,) tier of each item by how many `people` (n,) engaged with it.

    Head: the most popular items that have a fifth of all engagements together; tail: the least popular ones that do; the one
    that crosses the line is in the middle. Items that nobody engaged with are in the tail.
    """
    order = np.argsort(-people, kind="stable")
    upto = np.cumsum(people[order]) / max(1, int(people.sum()))
    tier = np.full(len(people), MIDDLE, np.int8)
    tier[order[upto <= TIER_SHARE]] = HEAD
    before = upto - people[order] / max(1, int(people.sum()))
    tier[order[before >= 1.0 - TIER_SHARE]] = TAIL
    tier[people == 0] = TAIL
    return tier


def calibration_kl(wanted: F8, listed: F8) -> F8:
    """(u,) Kullback-Leibler divergence, nats, of what lists hold from what people take, over (u, g) shares of g categories.

    0: a list has the categories in the shares that the person takes them in. NaN where either sums to 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = wanted / wanted.sum(axis=1, keepdims=True)
        q = listed / listed.sum(axis=1, keepdims=True)
        smooth = (1.0 - SMOOTHING) * q + SMOOTHING * p
        terms = np.where(p > 0.0, p * np.log(p / smooth), 0.0)
    known = (wanted.sum(axis=1) > 0.0) & (listed.sum(axis=1) > 0.0)
    found: F8 = np.where(known, terms.sum(axis=1), np.nan)
    return found


def total_variation(one: F8, other: F8) -> F8:
    """(...,) half the sum over the last axis of the differences of two shares: what would have to change hands."""
    found: F8 = 0.5 * np.abs(one - other).sum(axis=-1)
    return found

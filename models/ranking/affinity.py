"""Whether somebody takes items of a candidate's categories more often than people do: feature `category`.

With s_q the sign of the gain of past item h_q, n how many there are that have one, r_c the share of category c among what
everybody takes, and v_c = r_c (1 - r_c) + 0.01,

    category(j) = sum_q s_q sum_c ([c in h_q] - r_c) ([c in j] - r_c) / v_c / (20 (n + 10))

the product of the person's mean indicator of categories with the candidate's, both centred and scaled (Rocchio's profile, of
standardised terms: Pazzani and Billsus, "Content-based recommendation systems", 2007, section 10.4). It is linear in the past
items, so each one's share is exact. An item in no category brings nothing and has none.

Text says much of the same; what it does not say is what is usual for everybody. Measured in deploy/docs/measured/learning.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I4, I8
from models.compiled import compiled, compiled_part
from models.items.categories import CategoryShares

SMOOTHING: Final = 10.0
"""Past items that a person is taken to have had beforehand, of no taste."""

UNIT: Final = 20.0


def affinities(history: I4, gains: F8, start: I8, items: I4, of: NDArray[np.int16], categories: CategoryShares) -> F8:
    """(c,) float64 for candidates in compressed rows, `start` (u + 1,) and `items` (c,) int32.

    Args:
        history, gains: (u, H) of `models.ranking.features.Question`.
        start, items: of `models.ranking.candidates.Candidates`.
        of: `models.items.categories.ItemCategories.of`.
        categories: `Priors.categories`.
    """
    found = np.zeros(len(items))
    if len(of) and len(categories.share):
        _fill(history, gains, start, items, of, *categories, found)
    return found


@compiled
def _fill(
    history: I4,
    gains: F8,
    start: I8,
    items: I4,
    of: NDArray[np.int16],
    share: F8,
    inverse: F8,
    common: float,
    found: F8,
) -> None:
    """What each category brings is worked out once a person; then a candidate costs an addition for each of its own."""
    met, brings = np.zeros(len(share)), np.empty(len(share))
    for u in range(len(history)):
        signed, used, centre = 0.0, 0, 0.0
        met[:] = 0.0
        for q in range(history.shape[1]):
            h = history[u, q]
            if h < 0 or gains[u, q] == 0.0:
                continue
            used += 1
            if h >= len(of) or of[h, 0] < 0:
                continue
            sign = 1.0 if gains[u, q] > 0.0 else -1.0
            signed += sign
            centre += sign * _centre(of, h, share, inverse)
            _add_where(of, h, sign, met)
        scale = 1.0 / (UNIT * (used + SMOOTHING))
        centre = (signed * common - centre) * scale
        for c in range(len(share)):
            brings[c] = (met[c] - signed * share[c]) * inverse[c] * scale
        for i in range(start[u], start[u + 1]):
            j = items[i]
            if j >= len(of) or of[j, 0] < 0:
                continue
            found[i] = centre + _sum_of(of, j, brings)


@compiled
def add_affinity_shares(
    history: I4,
    gains: F8,
    items: I4,
    of: NDArray[np.int16],
    categories: CategoryShares,
    weight: float,
    shares: F8,
) -> None:
    """Add to (n, H) `shares` what each place of one user's (H,) history brings to `weight` times the feature of (n,) items."""
    share, inverse = categories.share, categories.inverse
    if weight == 0.0 or len(of) == 0 or len(share) == 0:
        return
    used = 0
    for q in range(len(history)):
        used += history[q] >= 0 and gains[q] != 0.0
    scale = weight / (UNIT * (used + SMOOTHING))
    centres, has = np.zeros(len(items)), np.zeros(len(share))
    for r in range(len(items)):
        if 0 <= items[r] < len(of):
            centres[r] = _centre(of, items[r], share, inverse)
    for q in range(len(history)):
        h = history[q]
        if h < 0 or gains[q] == 0.0 or h >= len(of) or of[h, 0] < 0:
            continue
        sign = scale if gains[q] > 0.0 else -scale
        own = categories.common - _centre(of, h, share, inverse)
        for c in of[h]:
            if 0 <= c < len(has):
                has[c] = inverse[c]
        for r in range(len(items)):
            j = items[r]
            if 0 <= j < len(of) and of[j, 0] >= 0:
                shares[r, q] += sign * (own - centres[r] + _sum_of(of, j, has))
        for c in of[h]:
            if 0 <= c < len(has):
                has[c] = 0.0


@compiled_part
def _add_where(of: NDArray[np.int16], j: int, value: float, sums: F8) -> None:
    for k in range(of.shape[1]):
        if 0 <= of[j, k] < len(sums):
            sums[of[j, k]] += value


@compiled_part
def _sum_of(of: NDArray[np.int16], j: int, values: F8) -> float:
    """Sum of values of the categories of item j; of those that came after the shares were made nothing is known."""
    total = 0.0
    for k in range(of.shape[1]):
        if of[j, k] < 0:
            break
        if of[j, k] < len(values):
            total += values[of[j, k]]
    return total


@compiled_part
def _centre(of: NDArray[np.int16], j: int, share: F8, inverse: F8) -> float:
    total = 0.0
    for k in range(of.shape[1]):
        if 0 <= of[j, k] < len(share):
            total += share[of[j, k]] * inverse[of[j, k]]
    return total

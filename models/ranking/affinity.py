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
from models.items.categories import CATEGORIES_EACH, NO_SHARES, CategoryShares

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


def warm_up() -> None:
    """Compile what runs compiled, before somebody waits for it."""
    nobody, nothing = np.full((1, 1), -1, np.int32), np.zeros((0, CATEGORIES_EACH), np.int16)
    _fill(nobody, np.zeros((1, 1)), np.zeros(2, np.int64), nobody[0], nothing, *NO_SHARES, np.zeros(0))


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
    brings = np.empty(len(share))
    for u in range(len(history)):
        centre = _profile(history[u], gains[u], of, share, inverse, common, brings)
        _look_up(start[u], start[u + 1], items, of, centre, brings, found)


@compiled_part
def _profile(history: I4, gains: F8, of: NDArray[np.int16], share: F8, inverse: F8, common: float, brings: F8) -> float:
    """Fill (C,) `brings` with what each category of a candidate brings to one user's feature; what is added to their sum."""
    signed, used, centre = 0.0, 0, 0.0
    brings[:] = 0.0
    for q in range(len(history)):
        h = history[q]
        if h < 0 or gains[q] == 0.0:
            continue
        used += 1
        if h >= len(of) or of[h, 0] < 0:
            continue
        sign = 1.0 if gains[q] > 0.0 else -1.0
        signed += sign
        for k in range(of.shape[1]):
            c = of[h, k]
            if 0 <= c < len(share):
                brings[c] += sign
                centre += sign * share[c] * inverse[c]
    scale = 1.0 / (UNIT * (used + SMOOTHING))
    for c in range(len(share)):
        brings[c] = (brings[c] - signed * share[c]) * inverse[c] * scale
    return (signed * common - centre) * scale


@compiled_part
def _look_up(begin: int, end: int, items: I4, of: NDArray[np.int16], centre: float, brings: F8, found: F8) -> None:
    """A candidate costs an addition for each of its categories; of those that came after the shares nothing is known."""
    for i in range(begin, end):
        j = items[i]
        if j >= len(of) or of[j, 0] < 0:
            continue
        total = centre
        for k in range(of.shape[1]):
            c = of[j, k]
            if c < 0:
                break
            if c < len(brings):
                total += brings[c]
        found[i] = total


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
    _fill_centres(items, of, share, inverse, centres)
    own, place, nothing = np.zeros(1), np.empty(1, np.int32), np.zeros(0)
    for q in range(len(history)):
        h = history[q]
        if h < 0 or gains[q] == 0.0 or h >= len(of) or of[h, 0] < 0:
            continue
        place[0] = h
        _fill_centres(place, of, share, inverse, own)
        _mark(of[h], inverse, has)
        sign = scale if gains[q] > 0.0 else -scale
        _add_products(items, of, centres, categories.common - own[0], has, sign, shares[:, q])
        _mark(of[h], nothing, has)


@compiled_part
def _fill_centres(items: I4, of: NDArray[np.int16], share: F8, inverse: F8, centres: F8) -> None:
    for r in range(len(items)):
        centres[r] = 0.0
        for k in range(of.shape[1]):
            c = of[items[r], k] if 0 <= items[r] < len(of) else -1
            if 0 <= c < len(share):
                centres[r] += share[c] * inverse[c]


@compiled_part
def _mark(categories: NDArray[np.int16], values: F8, has: F8) -> None:
    """Put the values of these into `has`; without values, 0."""
    for c in categories:
        if 0 <= c < len(has):
            has[c] = values[c] if len(values) else 0.0


@compiled_part
def _add_products(items: I4, of: NDArray[np.int16], centres: F8, own: float, has: F8, sign: float, shares: F8) -> None:
    for r in range(len(items)):
        j = items[r]
        if j < 0 or j >= len(of) or of[j, 0] < 0:
            continue
        product = own - centres[r]
        for k in range(of.shape[1]):
            c = of[j, k]
            if c < 0:
                break
            if c < len(has):
                product += has[c]
        shares[r] += sign * product

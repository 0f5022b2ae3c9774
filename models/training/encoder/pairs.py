"""What a language model is tuned on: items that the same user engaged with near each other in time. Pure.

Items that read the same are one here: an item's number is the number of its text. Pairs weigh as in
`models.items.co_occurrence`: with h_1 (newest), h_2, .. the items a user had before and b a new one, (h_q, b) weighs d^(q-1).

The past and what comes later are kept strictly apart: no pair reaches over a window's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.calendar import DAY_MS
from models.training.engagements import Engagements


class Neighbourhood(NamedTuple):
    """What counts as near."""

    places: int = 10
    """Items back in a user's history."""
    within_ms: int = 30 * DAY_MS
    decay: float = 0.9
    """d, in (0, 1]."""


class EngagedPairs(NamedTuple):
    """p unordered pairs of items, every one once, `left < right`, ascending."""

    left: I4
    right: I4
    weight: NDArray[np.float64]
    """(p,), above 0."""


class Queries(NamedTuple):
    """q questions: a user had `item`; which one comes next?"""

    item: I4
    target: I4


def co_engaged(events: Engagements, near: Neighbourhood) -> EngagedPairs:
    """The pairs in `events`, each with the sum of its weights."""
    n_items = int(events.item.max(initial=0)) + 1
    codes, weights = [], []
    for place in range(1, near.places + 1):
        old, new = _places_back(events, near, place)
        a, b = events.item[old].astype(np.int64), events.item[new].astype(np.int64)
        codes.append(np.minimum(a, b) * n_items + np.maximum(a, b))
        weights.append(np.full(codes[-1].size, near.decay ** (place - 1), np.float64))
    code, at = np.unique(np.concatenate(codes), return_inverse=True)
    left, right = np.divmod(code, n_items)
    weight = np.bincount(at, weights=np.concatenate(weights), minlength=code.size).astype(np.float64)
    return EngagedPairs(left.astype(np.int32), right.astype(np.int32), weight)


def next_queries(events: Engagements, near: Neighbourhood, start_ms: int, end_ms: int | None) -> Queries:
    """For each engagement in [start, end) that has one before it, near: that one, and which it is.

    The item asked about may lie before the window, as it does for a worker that answers live.
    """
    old, new = _places_back(events, near, 1)
    inside = events.time_ms[new] >= start_ms
    if end_ms is not None:
        inside &= events.time_ms[new] < end_ms
    return Queries(events.item[old][inside], events.item[new][inside])


def codes_of(parts: Sequence[EngagedPairs], n_items: int) -> I8:
    """Every pair in one of `parts` as `left * n_items + right`, distinct and ascending: what a batch looks up."""
    codes = [pairs.left.astype(np.int64) * n_items + pairs.right for pairs in parts]
    return np.unique(np.concatenate(codes))


def drawn(pairs: EngagedPairs, cumulative: NDArray[np.float64], n: int, rng: np.random.Generator) -> tuple[I4, I4]:
    """`(left, right)`: n pairs drawn with replacement, as often as they weigh, either way round.

    `cumulative` is the running sum of `pairs.weight`: it is long, and the same for all batches.
    """
    at = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right").clip(max=cumulative.size - 1)
    turned = rng.random(n) < 0.5
    left, right = pairs.left[at], pairs.right[at]
    return np.where(turned, right, left), np.where(turned, left, right)


def _places_back(events: Engagements, near: Neighbourhood, place: int) -> tuple[I8, I8]:
    """`(old, new)`: rows of the same user, `place` apart, and near."""
    new = np.arange(place, events.user.size)
    old = new - place
    good = events.user[old] == events.user[new]
    good &= events.time_ms[new] - events.time_ms[old] <= near.within_ms
    return old[good], new[good]

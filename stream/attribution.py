"""Which behaviours caused a recommendation: the exact decomposition of the parts of its score that are sums over behaviours.

Each is divided among past items (`models.ranking`), and within an item each behaviour's share is its gain over the
sum of the gains of that item's behaviours (`models.interest.recent_items`), so the contributions add up to the part, and
with the parts that no behaviour caused to the score; `residual` reports the difference, about 1e-16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

METHOD = "exact-additive"


class Contributions(NamedTuple):
    """Of the places of many lists, flat: contribution i is behaviour `behaviour[i]` of user `user[i]` to place `rank[i]`.

    Sorted by user, rank, then largest absolute contribution first; zero contributions are left out.
    """

    user: NDArray[np.int64]
    rank: NDArray[np.int64]
    """From 0."""
    behaviour: NDArray[np.int64]
    value: NDArray[np.float64]


def attribute(
    item_contributions: NDArray[np.float64], position: NDArray[np.int64], gains: NDArray[np.float64]
) -> Contributions:
    """Share the contribution of each history item among the behaviours it consists of.

    Args:
        item_contributions: (u, k, H) float64, `RankedBatch.contributions`.
        position: (u, R) int64, `RecentItems.position`: the history item of each behaviour, -1 for none.
        gains: (u, R) float64, the gains given to `recent_items`.
    """
    users = len(position)
    places = item_contributions.shape[1]
    n_items = item_contributions.shape[2]
    inside = position >= 0
    user, behaviour = np.nonzero(inside)
    item = position[user, behaviour]
    total = np.bincount(user * n_items + item, weights=gains[user, behaviour], minlength=users * n_items)
    total = total[user * n_items + item]
    share = np.divide(gains[user, behaviour], total, out=np.zeros(len(user)), where=total != 0)
    values = item_contributions[user, :, item] * share[:, None]
    at, rank = np.nonzero(values)
    user, behaviour, value = user[at], behaviour[at], values[at, rank]
    order = np.lexsort((behaviour, -np.abs(value), user * places + rank))
    return Contributions(user[order], rank[order], behaviour[order], value[order])


def strongest(causes: Contributions, users: int, ranks: int, limit: int) -> tuple[Contributions, NDArray[np.float64]]:
    """The `limit` strongest contributions to each place (0 = all), and what the others add up to, (users, ranks) float64."""
    place = causes.user * ranks + causes.rank
    if not limit:
        return causes, np.zeros((users, ranks))
    starts = np.searchsorted(place, place)
    listed = np.arange(len(place)) - starts < limit
    others = np.bincount(place[~listed], weights=causes.value[~listed], minlength=users * ranks)
    kept = Contributions(causes.user[listed], causes.rank[listed], causes.behaviour[listed], causes.value[listed])
    return kept, others.reshape(users, ranks).astype(np.float64)


COMPLETENESS_GAP_MAX = 1e-6
"""A larger gap is a bug: the contributions would not be what the score is made of."""


def completeness_gap(residuals: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """The largest residual of (n,) places, as a share of the score where that is larger than 1; 0 without places."""
    gaps = np.abs(residuals) / np.maximum(1.0, np.abs(scores))
    return float(gaps.max(initial=0.0))

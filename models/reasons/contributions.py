"""Which behaviours caused a recommendation: the exact decomposition of the parts of its score that are sums over behaviours.

Each is divided among past items (`models.ranking.rank`), and within an item each behaviour's share is its gain over the
sum of the gains of that item's behaviours (`models.ranking.recent.recent_items`), so the contributions add up to the part, and
with the parts that no behaviour caused to the score; `residual` reports the difference, about 1e-16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.ranking.recent import RecentItems

METHOD = "exact-additive"


class Contributions(NamedTuple):
    """Of the places of many lists, flat: contribution i is behaviour `behaviour[i]` of user `user[i]` to place `rank[i]`.

    Sorted by user, rank, then largest absolute contribution first, of equal ones the later behaviour; zero contributions are
    left out.
    """

    user: NDArray[np.int64]
    rank: NDArray[np.int64]
    """From 0."""
    behaviour: NDArray[np.int64]
    value: NDArray[np.float64]


def contributions_of(
    item_contributions: NDArray[np.float64], recent: RecentItems, gains: NDArray[np.float64], limit: int = 0
) -> tuple[Contributions, NDArray[np.float64]]:
    """Share the contribution of each history item among the behaviours it consists of.

    Args:
        item_contributions: (u, k, H) float64, `RankedBatch.contributions`.
        recent: the u users' items: which one each of R behaviours belongs to, and what its gains add up to. A sum is taken from
            there, never made again: made in another order it may have another sign.
        gains: (u, R) float64, the gains given to `recent_items`.
        limit: contributions listed for each place, the strongest; 0 = all.

    Returns:
        The contributions, and (u, k) float64 what those not listed add up to.
    """
    users, places, _ = item_contributions.shape
    position = recent.position
    room = users * places * min(limit or position.shape[1], position.shape[1])
    made = Contributions(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room))
    others = np.zeros((users, places))
    n = _attribute(item_contributions, position, recent.gains, gains, limit or position.shape[1], made, others)
    return Contributions(made.user[:n], made.rank[:n], made.behaviour[:n], made.value[:n]), others


@compiled
def _attribute(
    item_contributions: NDArray[np.float64],
    position: NDArray[np.int64],
    total: NDArray[np.float64],
    gains: NDArray[np.float64],
    limit: int,
    made: Contributions,
    others: NDArray[np.float64],
) -> int:
    n = 0
    width = position.shape[1]
    share, values, order = np.zeros(width), np.zeros(width), np.zeros(width, np.int64)
    for u in range(len(position)):
        for b in range(width):
            of = total[u, position[u, b]] if position[u, b] >= 0 else 0.0
            share[b] = gains[u, b] / of if of != 0.0 else 0.0
        for k in range(item_contributions.shape[1]):
            found = 0
            for b in range(width - 1, -1, -1):
                if share[b] == 0.0:
                    continue
                value = item_contributions[u, k, position[u, b]] * share[b]
                if value == 0.0:
                    continue
                at = found  # largest first; of equal ones the later column, which is the newer behaviour
                while at > 0 and abs(values[at - 1]) < abs(value):
                    values[at], order[at] = values[at - 1], order[at - 1]
                    at -= 1
                values[at], order[at] = value, b
                found += 1
            for at in range(found):
                if at < limit:
                    made.user[n], made.rank[n], made.behaviour[n], made.value[n] = u, k, order[at], values[at]
                    n += 1
                else:
                    others[u, k] += values[at]
    return n


COMPLETENESS_GAP_MAX = 1e-6
"""A larger gap is a bug: the contributions would not be what the score is made of."""


def relative_gaps(residuals: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The size of each residual of (n,) places, as a share of the score where that is larger than 1."""
    return np.abs(residuals) / np.maximum(1.0, np.abs(scores))

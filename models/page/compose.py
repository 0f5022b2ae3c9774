"""The decisions between the scores of a user's best items and the list that the user sees, in this order:

    1. order    score with rules and fatigue, as it was ranked
    2. choose   place after place the best item by likeness to those chosen (`diversity`) that no cap forbids
    3. place    pins and promotions
    4. explore  draws of the places that explore

What may not be listed at all (filters, deny lists) was never a candidate. Everything here is a pure function of its arguments;
a user's list does not depend on the other users of the batch.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled
from models.page.choice import BY_SCORE, Choosable, choose, in_order
from models.page.explore import ExploreParams, explore, explored_places
from models.page.fixed_places import pin, promote
from models.page.placing import BY_EXPLORE, Placing
from models.ranking.features import ItemArrays

Method = Literal["mmr", "dpp"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)


class ComposeParams(NamedTuple):
    """How the lists of a placement are composed."""

    slots: int
    diversity: float = 0.0
    """0 = by score alone, 1 = by likeness alone."""
    method: Method = "mmr"
    explore: ExploreParams = ExploreParams()


class Pool(NamedTuple):
    """The best items of u users in the order of their scores, P each; -1 pads."""

    items: I4
    """(u, P) dense indices."""
    scores: F8
    """(u, P), with rules and fatigue."""
    plain: F8
    """(u, P), without."""
    fatigue: F8
    """(u, P), <= 0."""
    history: I8
    """(u,) of how many past items anything is known."""
    eligible: I4
    """(u, E) what may be explored for each user, best first, -1 pads."""
    worth: F8
    """(u, E) score and bonus of these."""
    key: NDArray[np.uint64]
    """(u,) of the draws, `models.page.draws.draw_key`."""
    excluded: I4
    """(u, X) what must not be listed for each user, -1 pads; of what is pinned nobody has looked yet."""
    asked: I4
    """(u, slots) an item for each place, whose probability to stand there is asked, -1 = none; or (u, 0): of no place."""


class Composed(NamedTuple):
    """Lists of u users."""

    items: I4
    """(u, slots) dense indices, -1 pads behind the last one."""
    moved_by: NDArray[np.int16]
    """(u, slots) why this item stands here and not another one: the codes above."""
    propensity: F4
    """(u, slots) probability that this item stands here; 1 of whatever is no draw."""
    promoted: NDArray[np.bool_]
    """(u, slots): placed by a promotion, which has to be said."""
    of_asked: F4
    """(u, slots) probability that the item that was asked for stands here; or (u, 0)."""

    @property
    def is_explored(self) -> NDArray[np.bool_]:
        """(u, slots): drawn to learn of it."""
        drawn: NDArray[np.bool_] = self.moved_by == BY_EXPLORE
        return drawn


def compose(pool: Pool, params: ComposeParams, placing: Placing, items: ItemArrays, sketch: F4) -> Composed:
    """Lists of `params.slots` places.

    Args:
        pool: whom for, of what.
        params: how.
        placing: what rules say.
        items: statistics, for the likeness of items without text.
        sketch: (n, SKETCH_DIMS) unit rows by dense index, 0 where an item has no text; (0, SKETCH_DIMS): nothing has.
    """
    users = len(pool.items)
    composed = Composed(
        np.full((users, params.slots), -1, np.int32),
        np.zeros((users, params.slots), np.int16),
        np.ones((users, params.slots), np.float32),
        np.zeros((users, params.slots), np.bool_),
        np.zeros(pool.asked.shape, np.float32),
    )
    explored = np.array(explored_places(params.explore, params.slots), np.int64)
    method = METHODS.index(params.method) if params.diversity > 0.0 else BY_SCORE
    _compose(
        pool, placing, items, sketch, float(params.diversity), method, explored, float(params.explore.rate),
        float(params.explore.temperature), params.explore.min_history, composed,
    )  # fmt: skip
    return composed


@compiled
def _compose(
    pool: Pool, placing: Placing, items: ItemArrays, sketch: F4, diversity: float, method: int, explored: I8,
    rate: float, temperature: float, min_history: int, out: Composed,
) -> None:  # fmt: skip
    most, slots = pool.items.shape[1], out.items.shape[1]
    place = np.zeros(max(len(items.count), 1), np.uint16)
    order, chosen, reason = np.empty(most, np.int64), np.empty(slots, np.int64), np.empty(most, np.int16)
    rows, fixed = np.zeros((most, sketch.shape[1]), np.float32), np.zeros(slots, np.bool_)
    for u in range(len(pool.items)):
        n = 0
        while n < most and pool.items[u, n] >= 0:
            j = pool.items[u, n]
            place[j] = n + 1
            for d in range(sketch.shape[1]):
                rows[n, d] = sketch[j, d] if j < len(sketch) else np.float32(0.0)
            n += 1
        in_order(pool.scores[u], order[:n])
        choosable = Choosable(
            pool.items[u, :n], pool.scores[u, :n], pool.plain[u, :n], pool.fatigue[u, :n], order[:n], rows[:n]
        )
        m = choose(choosable, placing, items, place, diversity, method, chosen, reason)
        promote(choosable.items, choosable.order, chosen[:m], reason, placing, out.promoted[u])
        for r in range(m):
            out.items[u, r], out.moved_by[u, r] = pool.items[u, chosen[r]], reason[chosen[r]]
        fixed[:] = out.promoted[u]
        pin(out.items[u], out.moved_by[u], out.promoted[u], fixed, pool.excluded[u], placing)
        for r in range(out.of_asked.shape[1]):  # where nothing is drawn
            out.of_asked[u, r] = 1.0 if 0 <= pool.asked[u, r] == out.items[u, r] else 0.0
        if pool.history[u] >= min_history:
            explore(
                out.items[u], out.moved_by[u], out.propensity[u], fixed, explored, pool.eligible[u], pool.worth[u],
                pool.key[u], rate, temperature, pool.asked[u], out.of_asked[u],
            )  # fmt: skip
        for i in range(n):
            place[pool.items[u, i]] = 0

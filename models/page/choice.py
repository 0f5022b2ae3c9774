"""Which of a user's best items a list takes, place after place: the best by score and likeness that no cap keeps out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled_part
from models.page.diversity import co_likeness_to, dpp_project, likeness_to
from models.page.placing import BY_DIVERSITY, BY_FATIGUE, BY_RULES, NO_RULE, NOT_MOVED, Placing
from models.ranking.features import ItemArrays

BY_SCORE, MMR, DPP = -1, 0, 1
"""Methods."""


class Choosable(NamedTuple):
    """The pool of one user, p items in the order in which they were ranked."""

    items: I4
    """(p,) dense indices."""
    scores: F8
    """(p,) with rules and fatigue; likewise below."""
    plain: F8
    """Without."""
    fatigue: F8
    order: I8
    """Positions by `scores`, best first."""
    rows: F4
    """(p, D) sketches of the texts; 0 where there is none."""


@compiled_part
def in_order(scores: F8, order: I8) -> None:
    """Fill (p,) `order` with the positions of the best scores first; equal ones stay as they are."""
    for i in range(len(order)):
        at = i
        while at > 0 and scores[order[at - 1]] < scores[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i


@compiled_part
def choose(
    pool: Choosable, placing: Placing, statistics: ItemArrays, place: NDArray[np.uint16], diversity: float, method: int,
    chosen: I8, reason: NDArray[np.int16],
) -> int:  # fmt: skip
    """Fill `chosen` with positions of the pool, best first, and (p,) `reason` with why each is where it is; how many.

    `place[j]` is 1 + the position of item j in the pool, 0 of every other item.
    """
    n = len(pool.items)
    gone, counted = np.zeros(n, np.bool_), np.zeros(len(placing.cap), np.int64)
    like, nearest, left = np.zeros(n, np.float32), np.zeros(n, np.float32), np.ones(n)
    factor = np.zeros((len(chosen) if method == DPP else 0, n))
    quality = np.zeros(n)
    if n and method != BY_SCORE:
        low = pool.scores[pool.order[n - 1]]
        span = max(pool.scores[pool.order[0]] - low, 1e-12)
        for i in range(n):
            quality[i] = (pool.scores[i] - low) / span
    for k in range(len(chosen)):
        best, first, over = _next(pool, placing, gone, counted, quality, nearest, left, diversity, method)
        if best < 0:
            return k
        if best != first:
            reason[best] = BY_DIVERSITY
        elif over != NO_RULE:
            reason[best] = BY_RULES + over
        else:
            reason[best] = _moved_by_score(pool, placing, best, k)
        gone[best], chosen[k] = True, best
        _count(pool.items[best], placing.groups, counted)
        if method != BY_SCORE and k + 1 < len(chosen):
            _liken(pool, statistics, best, place, like)
            if method == MMR:
                for i in range(n):
                    nearest[i] = max(nearest[i], like[i])
            else:
                like[best] = np.float32(1.0)
                dpp_project(like, best, k, left, factor)
    return len(chosen)


@compiled_part
def _next(
    pool: Choosable, placing: Placing, gone: NDArray[np.bool_], counted: I8, quality: F8, nearest: F4, left: F8,
    diversity: float, method: int,
) -> tuple[int, int, int]:  # fmt: skip
    """What stands next, -1 = nothing; what would by score alone; and the rule whose cap kept a better one out."""
    best, first, over, best_value = -1, -1, NO_RULE, -np.inf
    alpha = 2.0 * (1.0 - diversity) / max(diversity, 1e-6)
    for i in pool.order:
        if gone[i]:
            continue
        cap = _cap_of(pool.items[i], placing, counted)
        if cap != NO_RULE:
            if first < 0 and over == NO_RULE:
                over = cap
            continue
        if first < 0:
            first = i
        if method == BY_SCORE:
            return i, i, over
        if method == MMR:
            value = (1.0 - diversity) * quality[i] - diversity * nearest[i]
        else:
            value = 2.0 * alpha * quality[i] + np.log(max(left[i], 1e-9))
        if value > best_value:
            best, best_value = i, value
    return best, first, over


@compiled_part
def _cap_of(item: int, placing: Placing, counted: I8) -> int:
    """The rule of a cap of this item that is used up; -1 = none is."""
    if item < len(placing.groups):
        for g in placing.groups[item]:
            if g >= 0 and counted[g] >= placing.cap[g]:
                return int(placing.capped_by[g])
    return NO_RULE


@compiled_part
def _count(item: int, groups: I4, counted: I8) -> None:
    if item < len(groups):
        for g in groups[item]:
            if g >= 0:
                counted[g] += 1


@compiled_part
def _liken(pool: Choosable, statistics: ItemArrays, at: int, place: NDArray[np.uint16], like: F4) -> None:
    """Fill (p,) `like` with how much each item of the pool is like the one at `at`."""
    has_text = False
    for d in range(pool.rows.shape[1]):
        has_text = has_text or pool.rows[at, d] != 0.0
    if has_text:
        likeness_to(pool.rows[at], pool.rows, like)
    else:
        co_likeness_to(
            pool.items[at], statistics.neighbour_row, statistics.neighbours, statistics.weights, statistics.count,
            place, like,
        )  # fmt: skip


@compiled_part
def _moved_by_score(pool: Choosable, placing: Placing, at: int, rank: int) -> int:
    """Why an item that is the best one left would not stand at this rank (from 0) without rules and fatigue."""
    before = 0
    for i in range(len(pool.items)):
        if pool.plain[i] > pool.plain[at] or (pool.plain[i] == pool.plain[at] and i < at):
            before += 1
    if before == rank:
        return NOT_MOVED
    own = pool.items[at]
    if own < len(placing.boost) and placing.boost[own] != 0.0:
        return int(BY_RULES + placing.boosted_by[own])
    if pool.fatigue[at] < 0.0:
        return BY_FATIGUE
    # Itself it is as it was, so others passed it, or fell behind it: because of what moved one of those most.
    cause, most = NOT_MOVED, 0.0
    for i in range(len(pool.items)):
        if (pool.plain[i] > pool.plain[at]) == (pool.scores[i] > pool.scores[at]):
            continue
        j = pool.items[i]
        added = float(placing.boost[j]) if j < len(placing.boost) else 0.0
        if abs(added) > most:
            cause, most = int(BY_RULES + placing.boosted_by[j]), abs(added)
        if abs(pool.fatigue[i]) > most:
            cause, most = BY_FATIGUE, abs(pool.fatigue[i])
    return cause

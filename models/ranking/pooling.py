"""A pool of each user's best candidates, of which only the very best are scored exactly: a list composed of a pool
(`models.page`) decides by what is true to a few thousandths among the others, and says exactly what it lists in the end.

Best is by score and boost, whatever rules add to an item for everybody. So what a rule lifts is in the pool wherever it stood.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled, compiled_part
from models.items.record import MOMENT_STARTS
from models.ranking.candidates import Candidates
from models.ranking.choosing import MARGIN, bound_scores, is_certain, keep_best
from models.ranking.features import FEATURES, PARTS, SCALES, ItemArrays, Question
from models.ranking.listing import Bounds, features_by_text, fill_candidate, insert, parts_and_score
from models.ranking.semantics import TextArrays

ROUNDED_BOOST: Final = 1e-5
"""Error that a boost of 20 in single precision adds to a bound, and more."""


class PoolArrays(NamedTuple):
    """Best items of u users, best first; items -1 and scores 0 behind the last one. To be filled."""

    items: I4
    """(u, P), by score and boost."""
    scores: F8
    """(u, P), without the boost: of the first ones, and of all that are boosted, exact; of the others a bound."""
    drawn: I4
    """(u, E): of what may be drawn, the same."""
    drawn_scores: F8
    """(u, E): exact, with boost and bonus."""


@compiled
def fill_pool(
    question: Question,
    items: ItemArrays,
    found: Candidates,
    text: TextArrays,
    weights: F8,
    feedback: F8,
    moment_shares: F8,
    wanted: NDArray[np.bool_],
    bounds: Bounds,
    slots: int,
    boost: F4,
    bonus: F4,
    pool: PoolArrays,
) -> None:
    """Fill `pool`.

    Args:
        question, items, found, text, weights, feedback, moment_shares, wanted, bounds: as for
            `models.ranking.listing.list_best`.
        slots: places of a list; so many of the pool are exactly its best, in order.
        boost: (n,) by dense index: what rules add to an item's score; nothing to one beyond.
        bonus: (n,) by dense index: what is added to the score of an item for being drawn, below 0 for one that may not be;
            nothing beyond may.
        pool: out; at least `slots` long.
    """
    size, draws, most, has_text = pool.items.shape[1], pool.drawn.shape[1], 0, len(text.wanted) > 0
    for u in range(len(question.history)):
        most = max(most, found.start[u + 1] - found.start[u])
    x, parts = np.zeros(len(FEATURES)), np.empty(len(PARTS) + 1)
    scratch, bound = np.empty((2, len(SCALES) * most), np.float32), np.empty(most, np.float32)
    every, by_text = np.arange(most), np.zeros((most, 2), np.float32)
    kept, exact, value = np.empty(size, np.int64), np.empty(most), np.empty(most)
    best, at = np.empty(size), np.empty(size, np.int64)
    likely, drawn_best, drawn_at = np.empty(draws, np.int64), np.empty(draws), np.empty(draws, np.int64)
    nowhere, nothing = np.empty(0, np.float32), np.empty((2, 0), np.float32)
    for u in range(len(question.history)):
        lo, hi = found.start[u], found.start[u + 1]
        m, c = hi - lo, bounds.user_class[u]
        by_meaning = text.wanted[u] if has_text else nothing
        is_bounded = c >= 0 and m > slots + MARGIN
        chosen = every[:m]
        if is_bounded:
            b = question.bins[u, 2] - MOMENT_STARTS[2]
            bound_scores(
                found.item[lo:hi], found.near[lo:hi], found.sequence[lo:hi], found.category[lo:hi], weights[u], feedback[u],
                bounds.base[c], bounds.scene[b] if b > 0 else nowhere, by_meaning, text.row[lo:hi], text.table, scratch,
                kept[: min(size, m)], bound[:m], items.count, items.hashes,
            )  # fmt: skip
            _add_boost(found.item[lo:hi], boost, bound[:m])
            left_out = -np.inf
            if m > size:
                left_out = keep_best(bound[:m], found.item[lo:hi], items.count, items.hashes, kept)
            else:
                kept[:m] = every[:m]
            n = min(size, m)
            _by_bound(bound, kept[:n])
            first = slots + MARGIN
            for i in kept[:n]:
                exact[i], value[i] = bound[i], bound[i]
            others = float(bound[kept[first]]) if n > first else left_out
            # What is boosted may be a bound that no text was looked at for: it is told exactly.
            _score(
                question, items, found, text, by_meaning, u, weights[u], feedback[u], moment_shares, wanted,
                _worth_telling(found.item[lo:hi], boost, kept[:n], first), boost, x, parts, by_text, exact, value,
            )  # fmt: skip
            last = _nth(value, kept[:first], slots, best)
            if others == -np.inf or is_certain(last, others, bounds.tolerance[u] + ROUNDED_BOOST):
                chosen = kept[:n]
            else:
                is_bounded = False
        if not is_bounded:
            _score(
                question, items, found, text, by_meaning, u, weights[u], feedback[u], moment_shares, wanted, chosen, boost, x,
                parts, by_text, exact, value,
            )  # fmt: skip
        n = 0
        for i in chosen:
            n = insert(best, at, n, value[i], lo + i, items, found)
        for r in range(n):
            pool.items[u, r], pool.scores[u, r] = found.item[at[r]], exact[at[r] - lo]
        if draws:
            _draw_from(
                question, items, found, text, by_meaning, u, weights[u], feedback[u], moment_shares, wanted, boost, bonus,
                slots, is_bounded, bound, exact, value, x, parts, by_text, likely, drawn_best, drawn_at, pool,
            )  # fmt: skip


@compiled_part
def _score(
    question: Question, items: ItemArrays, found: Candidates, text: TextArrays, by_meaning: F4, u: int, weights: F8,
    feedback: F8, moment_shares: F8, wanted: NDArray[np.bool_], chosen: I8, boost: F4, x: F8, parts: F8, by_text: F4,
    exact: F8, value: F8,
) -> None:  # fmt: skip
    """Fill `exact`, and with the boost `value`, for the chosen candidates of user u; `x`, `parts`, `by_text` are scratch."""
    lo, hi = found.start[u], found.start[u + 1]
    features_by_text(by_meaning, text.row[lo:hi], text.table, chosen, by_text)
    for i in chosen:
        fill_candidate(question, items, found, by_text, u, lo + i, moment_shares, wanted, x)
        exact[i] = parts_and_score(x, weights, feedback, parts)
        value[i] = exact[i] + _boost_of(found.item[lo + i], boost)


@compiled_part
def _boost_of(item: int, boost: F4) -> float:
    return float(boost[item]) if item < len(boost) else 0.0


@compiled_part
def _add_boost(item: I4, boost: F4, bound: F4) -> None:
    if len(boost):
        for i in range(len(item)):
            bound[i] += np.float32(_boost_of(item[i], boost))


@compiled_part
def _worth_telling(item: I4, boost: F4, kept: I8, first: int) -> I8:
    """The first ones of `kept`, and of the others those that are boosted."""
    told = kept.copy()
    n = min(first, len(kept))
    for i in kept[first:]:
        if _boost_of(item[i], boost) != 0.0:
            told[n] = i
            n += 1
    return told[:n]


@compiled_part
def _by_bound(bound: F4, kept: I8) -> None:
    """Put `kept` in the order of their bounds, highest first."""
    for i in range(1, len(kept)):
        moved, r = kept[i], i
        while r > 0 and bound[kept[r - 1]] < bound[moved]:
            kept[r] = kept[r - 1]
            r -= 1
        kept[r] = moved


@compiled_part
def _nth(value: F8, kept: I8, n: int, best: F8) -> float:
    """The n-th largest of the values of `kept`; `best` is scratch of at least n."""
    used = 0
    for i in kept:
        r = min(used, n - 1)
        if used == n and value[i] <= best[n - 1]:
            continue
        while r > 0 and best[r - 1] < value[i]:
            best[r] = best[r - 1]
            r -= 1
        best[r] = value[i]
        used = min(used + 1, n)
    return best[used - 1] if used else -np.inf


@compiled_part
def _draw_from(
    question: Question, items: ItemArrays, found: Candidates, text: TextArrays, by_meaning: F4, u: int, weights: F8,
    feedback: F8, moment_shares: F8, wanted: NDArray[np.bool_], boost: F4, bonus: F4, slots: int, is_bounded: bool,
    bound: F4, exact: F8, value: F8, x: F8, parts: F8, by_text: F4, likely: I8, best: F8, at: I8, pool: PoolArrays,
) -> None:  # fmt: skip
    """Fill what may be drawn for user u: those with the highest bounds and bonuses that do not lead the pool anyway, in the
    order of their exact scores and bonuses."""
    lo, hi, n, worst = found.start[u], found.start[u + 1], 0, 0
    for i in range(hi - lo):
        j = found.item[lo + i]
        if j >= len(bonus) or bonus[j] < 0.0:
            continue
        worth = (float(bound[i]) if is_bounded else value[i]) + bonus[j]
        if (n == len(likely) and worth <= best[worst]) or _leads(j, pool.items[u], slots):
            continue
        if n == len(likely):
            likely[worst], best[worst] = i, worth
        else:
            likely[n], best[n] = i, worth
            n += 1
        worst = 0
        for r in range(1, n):
            if best[r] < best[worst]:
                worst = r
    if is_bounded:
        _score(
            question, items, found, text, by_meaning, u, weights, feedback, moment_shares, wanted, likely[:n], boost, x, parts,
            by_text, exact, value,
        )  # fmt: skip
    used = 0
    for i in likely[:n]:
        used = insert(best, at, used, value[i] + bonus[found.item[lo + i]], lo + i, items, found)
    for r in range(used):
        pool.drawn[u, r], pool.drawn_scores[u, r] = found.item[at[r]], best[r]


@compiled_part
def _leads(item: int, pool: I4, slots: int) -> bool:
    found = False
    for r in range(min(slots, len(pool))):
        found = found or pool[r] == item
    return found

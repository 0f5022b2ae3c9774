"""The best candidates of each user in order, with the exact parts of their scores and what each past item brought to them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.calendar import HOUR_MS
from models.compiled import compiled, compiled_part
from models.items.categories import CategoryShares
from models.items.near import dot
from models.items.record import MOMENT_STARTS
from models.items.rows import ENTRY_MS, TREND_MS
from models.ranking.affinity import add_affinity_shares
from models.ranking.candidates import Candidates
from models.ranking.choosing import MARGIN, ROUNDING, bound_scores, is_certain, keep_best
from models.ranking.features import (
    AGE,
    CATEGORY,
    ENTRY,
    FEATURES,
    FORWARD,
    NEAR_UNIT,
    PART_OF,
    PARTS,
    PERSONAL,
    SCALES,
    TEXT,
    TREND,
    ItemArrays,
    Question,
    fill_features,
    norm,
    place_weights,
)
from models.ranking.interest_graph import add_user_shares
from models.ranking.moment import ItemMoment
from models.ranking.semantics import TextArrays
from models.ranking.weights import weight_class

_PERSONAL, _INTEREST = tuple(PARTS.index(name) for name in PERSONAL), PARTS.index("interest")


_FADING = np.array([*range(TREND, TREND + len(TREND_MS)), *range(ENTRY, ENTRY + len(ENTRY_MS))])
_FADE_PER_MS = 1.0 / np.array((*TREND_MS, *ENTRY_MS))


class ListArrays(NamedTuple):
    """Lists of u users, best first, to be filled: items -1, the rest 0."""

    items: I4
    """(u, k)."""
    parts: F8
    """(u, k, P + 1): those of `PARTS`, and what the strategy has earned."""
    contributions: F8
    """(u, k, H); stay 0 of users who are not explained."""


class Bounds(NamedTuple):
    """What bounds scores; see `models.ranking.choosing`."""

    base: F4
    """(C, n)."""
    scene: F4
    """(SCENES + 1, n)."""
    user_class: I8
    """(u,) row of `base`; -1 = no bound is known at this user's moment, all candidates are computed exactly."""
    tolerance: F8
    """(u,) error of a bound."""


def bounds_of(moment: ItemMoment | None, question: Question, usable: I8, weights: F8) -> Bounds:
    """What `moment` says of the scores of these users.

    Args:
        moment: None = nothing is bounded.
        question: of u users.
        usable: (u,) of how many places of each history anything is known.
        weights: (u, F) of the features.
    """
    if moment is None:
        nothing = np.zeros((0, 0), np.float32)
        return Bounds(nothing, nothing, np.full(len(usable), -1), np.zeros(len(usable)))
    ahead_ms = question.now_ms - moment.moment_ms
    fits = (ahead_ms >= 0) & (ahead_ms <= moment.good_for_ms) & (question.bins[:, :2] == moment.bins).all(axis=1)
    absolute = np.abs(weights)
    # A logarithm of what fades by a factor e in some time, and of an age in hours, changes by 1 in that time at the most.
    drift = (absolute[:, _FADING] @ _FADE_PER_MS + absolute[:, AGE] / HOUR_MS) * ahead_ms
    tolerance = ROUNDING * absolute.sum(axis=1) + drift
    return Bounds(moment.base, moment.scene, np.where(fits, weight_class(usable, question.idle_s), -1), tolerance)


@compiled
def list_best(
    question: Question,
    items: ItemArrays,
    found: Candidates,
    text: TextArrays,
    weights: F8,
    feedback: F8,
    moment_shares: F8,
    categories: CategoryShares,
    wanted: NDArray[np.bool_],
    bounds: Bounds,
    explained: NDArray[np.bool_],
    listed: ListArrays,
) -> None:
    """Fill `listed`.

    Single precision chooses by text what is listed; what is said of it, and its order, is the exact sum of its contributions.

    Args:
        question, items, found: who asks, what is known, their candidates.
        text: of the same users and candidates.
        weights: (u, F).
        feedback: (u, 2) what is added to a score without and with something personal.
        moment_shares, categories: of `Priors`.
        wanted: `RankingWeights.wanted`.
        bounds: spare most candidates an exact score; the lists are the same without.
        explained: (u,) whose contributions are wanted.
        listed: out.
    """
    # Loops over candidates take arrays one by one: a tuple of arrays costs two atomic counts an array at every call.
    k, most, has_text = listed.items.shape[1], 0, len(text.wanted) > 0
    for u in range(len(question.history)):
        most = max(most, found.start[u + 1] - found.start[u])
    x, parts = np.zeros(len(FEATURES)), np.empty(listed.parts.shape[2])
    counts = np.empty((question.history.shape[1], len(SCALES)))
    scratch, bound = np.empty((2, len(SCALES) * most), np.float32), np.empty(most, np.float32)
    kept, every, at = np.empty(k + MARGIN, np.int64), np.arange(most), np.empty(k, np.int64)
    parts_of, place_of = np.empty((k + MARGIN, listed.parts.shape[2])), np.empty(most, np.int64)
    by_text = np.zeros((most, 2), np.float32)
    place = np.zeros(len(items.count), np.uint8)
    nowhere, nothing = np.empty(0, np.float32), np.empty((2, 0), np.float32)
    for u in range(len(question.history)):
        lo, hi = found.start[u], found.start[u + 1]
        m, c = hi - lo, bounds.user_class[u]
        by_meaning = text.wanted[u] if has_text else nothing
        chosen = every[:m]
        left_out = -np.inf
        if c >= 0 and m > len(kept):
            b = question.bins[u, 2] - MOMENT_STARTS[2]
            bound_scores(
                found.item[lo:hi], found.near[lo:hi], found.sequence[lo:hi], found.category[lo:hi], weights[u],
                feedback[u], bounds.base[c], bounds.scene[b] if b > 0 else nowhere, by_meaning, text.row[lo:hi],
                text.table, scratch, kept, bound[:m], items.count, items.hashes,
            )  # fmt: skip
            left_out = keep_best(bound[:m], found.item[lo:hi], items.count, items.hashes, kept)
            chosen = kept
        features_by_text(by_meaning, text.row[lo:hi], text.table, chosen, by_text)
        n, last = _best(
            question,
            items,
            found,
            by_text,
            u,
            chosen,
            weights[u],
            feedback[u],
            moment_shares,
            wanted,
            x,
            parts,
            at,
            parts_of,
            place_of,
        )
        if left_out > -np.inf and not is_certain(last, left_out, bounds.tolerance[u]):
            features_by_text(by_meaning, text.row[lo:hi], text.table, every[:m], by_text)
            n, last = _best(
                question, items, found, by_text, u, every[:m], weights[u], feedback[u], moment_shares, wanted, x, parts,
                at, parts_of, place_of,
            )  # fmt: skip
        for r in range(n):
            listed.items[u, r] = found.item[at[r]]
            if place_of[at[r] - lo] < len(parts_of):
                for p in range(parts_of.shape[1]):
                    listed.parts[u, r, p] = parts_of[place_of[at[r] - lo], p]
            else:
                fill_candidate(question, items, found, by_text, u, at[r], moment_shares, wanted, x)
                parts_and_score(x, weights[u], feedback[u], listed.parts[u, r])
        if explained[u]:
            place_weights(question, u, len(items.count), counts)
            _contribute(
                question.history[u], counts, items.count, items.neighbour_row, items.neighbours, items.weights,
                items.forwards, listed.items[u, :n], found.near[at[:n]], weights[u], place, listed.contributions[u],
            )  # fmt: skip
        shares = np.zeros((n, question.history.shape[1]))
        if has_text or explained[u]:
            add_affinity_shares(
                question.history[u], question.gains[u], listed.items[u, :n], items.categories, categories,
                weights[u, CATEGORY], shares,
            )  # fmt: skip
        if has_text:
            add_user_shares(
                text.medoid[u], text.group[u], text.place_row[u], text.place_table, text.place_others, text.weights[u],
                text.recent[u], text.table, text.row[at[:n]], weights[u, TEXT : TEXT + 2], shares,
            )  # fmt: skip
            _say_exactly(shares, feedback[u], explained[u], listed.items[u], listed.parts[u], listed.contributions[u])
        elif explained[u]:
            listed.contributions[u, :n] += shares


@compiled_part
def features_by_text(wanted: F4, row: I8, table: F4, chosen: I8, by_text: F4) -> None:
    """Fill (most, 2) `by_text` for the chosen ones of one user's candidates."""
    for i in chosen:
        by_text[i] = 0.0
        if wanted.shape[1] and row[i] >= 0:
            by_text[i, 0], by_text[i, 1] = dot(wanted[0], table[row[i]]), dot(wanted[1], table[row[i]])


@compiled_part
def _say_exactly(shares: F8, feedback: F8, explained: bool, items: I4, parts: F8, contributions: F8) -> None:
    """Put what text and categories brought, (n, H), into a list's first n places, and these in order; equal ones stay."""
    n = len(shares)
    scores, order = np.empty(n), np.empty(n, np.int64)
    for r in range(n):
        brought = 0.0
        for q in range(shares.shape[1]):
            brought += shares[r, q]
            if explained:
                contributions[r, q] += shares[r, q]
        parts[r, _INTEREST] = brought
        score = _add_up(parts[r], feedback)
        at = r
        while at > 0 and scores[at - 1] < score:
            scores[at], order[at] = scores[at - 1], order[at - 1]
            at -= 1
        scores[at], order[at] = score, r
    # One by one: to index by `order` takes three seconds to compile.
    old_items, old_parts = items.copy(), parts.copy()
    old_contributions = contributions.copy() if explained else contributions
    for r in range(n):
        items[r] = old_items[order[r]]
        for p in range(parts.shape[1]):
            parts[r, p] = old_parts[order[r], p]
        if explained:
            for q in range(contributions.shape[1]):
                contributions[r, q] = old_contributions[order[r], q]


@compiled_part
def _best(
    question: Question,
    items: ItemArrays,
    found: Candidates,
    by_text: F4,
    u: int,
    chosen: I8,
    weights: F8,
    feedback: F8,
    moment_shares: F8,
    wanted: NDArray[np.bool_],
    x: F8,
    parts: F8,
    at: I8,
    parts_of: F8,
    place_of: I8,
) -> tuple[int, float]:
    """Fill `at` with the best of the chosen candidates of user u, in order; how many, and the score of the last.

    The parts of the first ones that were chosen are kept in `parts_of`; `place_of` a candidate says in which row.
    """
    best = np.empty(len(at))
    n = 0
    for place, i in enumerate(chosen):
        c = found.start[u] + i
        fill_candidate(question, items, found, by_text, u, c, moment_shares, wanted, x)
        score = parts_and_score(x, weights, feedback, parts)
        n = insert(best, at, n, score, c, items, found)
        place_of[i] = place
        if place < len(parts_of):
            for p in range(len(parts)):
                parts_of[place, p] = parts[p]
    return n, best[n - 1] if n else -np.inf


@compiled_part
def fill_candidate(
    question: Question,
    items: ItemArrays,
    found: Candidates,
    by_text: F4,
    u: int,
    c: int,
    moment_shares: F8,
    wanted: NDArray[np.bool_],
    x: F8,
) -> None:
    fill_features(
        x,
        items,
        found.item[c],
        found.near[c],
        by_text[c - found.start[u]],
        found.category[c],
        found.sequence[c],
        question.now_ms[u],
        question.bins[u],
        moment_shares,
        wanted,
    )


@compiled_part
def parts_and_score(x: F8, weights: F8, feedback: F8, parts: F8) -> float:
    """Fill (P + 1,) `parts`; their sum in order. `feedback` is what is added without and with something personal."""
    parts[:] = 0.0
    for f in range(len(x)):
        parts[PART_OF[f]] += weights[f] * x[f]
    return _add_up(parts, feedback)


@compiled_part
def _add_up(parts: F8, feedback: F8) -> float:
    """Fill the last one, what the strategy has earned; the sum in order."""
    personal = 0.0
    for p in _PERSONAL:
        personal += parts[p]
    parts[len(parts) - 1] = feedback[1] if personal > 0.0 else feedback[0]
    score = 0.0
    for p in range(len(parts)):
        score += parts[p]
    return score


@compiled_part
def insert(best: F8, at: I8, n: int, score: float, c: int, items: ItemArrays, found: Candidates) -> int:
    """Put candidate c among the n best so far, in order, if it belongs there; how many there are then."""
    k = len(best)
    if n == k and not _before(score, found.item[c], best[k - 1], found.item[at[k - 1]], items):
        return n
    r = min(n, k - 1)
    while r > 0 and _before(score, found.item[c], best[r - 1], found.item[at[r - 1]], items):
        best[r], at[r] = best[r - 1], at[r - 1]
        r -= 1
    best[r], at[r] = score, c
    return min(n + 1, k)


@compiled_part
def _before(score: float, item: int, other_score: float, other: int, items: ItemArrays) -> bool:
    if score != other_score:
        return score > other_score
    if items.count[item] != items.count[other]:
        return bool(items.count[item] > items.count[other])
    return bool(items.hashes[item] < items.hashes[other])


@compiled_part
def _contribute(
    history: I4,
    counts: F8,
    count: F8,
    neighbour_row: I4,
    neighbours: I4,
    neighbour_weights: F8,
    forwards: F8,
    items: I4,
    near: F8,
    weights: F8,
    place: NDArray[np.uint8],
    contributions: F8,
) -> None:
    """Add to (k, H) `contributions` each past item's share of the co-occurrence features of what is listed.

    `items` (n,) are listed, with sums `near` (n, S); `place` (all items,) is 0 before and after: one byte an item, so that
    looking every neighbour up stays in the cache.
    """
    factor = np.empty((len(items), len(SCALES)))
    for r in range(len(items)):
        place[items[r]] = r + 1
        for s in range(len(SCALES)):  # what a unit of each sum is worth
            a = abs(near[r, s]) / NEAR_UNIT
            slope = np.log1p(a) / a if a > 0.0 else 1.0
            factor[r, s] = weights[s] * slope / NEAR_UNIT * norm(count[items[r]])
    for q in range(len(counts)):
        used = False
        for s in range(len(SCALES)):
            used = used or counts[q, s] != 0.0
        if not used:
            continue
        h = history[q]
        row, scale = neighbour_row[h], norm(count[h])
        for k in range(neighbours.shape[1]):
            j = neighbours[row, k]
            if j < 0:
                break
            if place[j] == 0:
                continue
            r = place[j] - 1
            share = factor[r, FORWARD] * counts[q, FORWARD] * forwards[row, k]
            for s in range(FORWARD):
                share += factor[r, s] * counts[q, s] * neighbour_weights[row, k]
            contributions[r, q] += share * scale
    for j in items:
        place[j] = 0

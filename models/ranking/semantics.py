"""The text side of a batch of users: what they were interested in, as points of the encoder's space; and what is near.

Past items and queries have vectors; `models.ranking.interest_graph` groups them into points. Two features of the ranking are

    text_points(j) = sum over points v of w(v | u) * cos(v, j)
    text_recent(j) = sum over the last items q of r_q * cos(h_q, j)

with cosines of centred vectors (`models.items.vectors.centred`). The weights of the points fade with time, relative to the
user's newest behaviour: what mattered before a holiday is not forgotten because of the holiday. Both are linear in the past
items, so each one's share is exact.

Candidates are what is near to one of these interests: to a point, or to one of the last items (`models.items.near`). The sum of
all interests as one vector would have to be compared with every item, and what is nearest to it is near to none of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled, compiled_part
from models.items.index import NO_INDEX
from models.items.near import PRODUCTS_AT_ONCE, dot
from models.items.vectors import ItemVectors
from models.ranking.interest_graph import InterestGraph, add_shares, decayed_gains, interest_graph, user_vectors
from models.ranking.place_vectors import NO_VECTOR, PastTexts, PlaceVectors, place_vectors, rows_of

RECENT_DECAY, RECENT_PLACES = 0.8, 8
"""Of r_q, as of the fast co-occurrence scale."""


class InterestParams(NamedTuple):
    """How interests by text are told apart and fade."""

    points: int
    """Interests told apart per user."""
    candidates: int
    """Items proposed per user."""
    half_lives_s: tuple[float, ...]
    """The weights fade with these, in equal shares."""


class TextArrays(NamedTuple):
    """What lists are made of by text, for u users with c candidates in compressed rows; users are 0 where nobody has text."""

    wanted: F4
    """(u, 2, dims)."""
    table: F4
    """(n, dims) centred vectors of items."""
    row: I8
    """(c,) row of `table` of each candidate, -1 where it has no vector."""
    place_row: I8
    """(u, H), of `place_table` and `place_others`, as in `PlaceVectors`."""
    place_table: F4
    place_others: F4
    weights: F8
    """(u, H)"""
    recent: F8
    """(u, H)"""
    medoid: I8
    """(u, P)"""
    group: I8
    """(u, H)"""


def no_text(candidates: int) -> TextArrays:
    """Of as many candidates, none of which has a vector."""
    vectors, users, numbers = np.zeros((0, 0), np.float32), np.zeros((0, 0)), np.zeros((0, 0), np.int64)
    nobody = np.zeros((0, 2, 0), np.float32)
    return TextArrays(
        nobody, vectors, np.full(candidates, -1), numbers, vectors, vectors, users, users, numbers, numbers
    )


class Semantics(NamedTuple):
    """Of u users with H history places each."""

    vectors: ItemVectors
    """Of the catalogue; one model version, whatever is swapped meanwhile."""
    places: PlaceVectors
    """Of the history."""
    weights: F8
    """(u, H): what each place is worth now to the points; 0 = nothing."""
    recent: F8
    """(u, H): r_q."""
    graph: InterestGraph
    wanted: F4
    """(u, 2, dims) float32: their products with an item's centred vector are the features above."""
    candidates: I4
    """(u, c) int32 dense indices of what is near to an interest, -1 pads."""

    def take(self, users: slice | I8) -> Semantics:
        """Of these users."""
        graph = self.graph
        graph = InterestGraph(graph.medoid[users], graph.weight[users], graph.group[users], graph.edge[users])
        return Semantics(
            self.vectors,
            self.places.take(users),
            self.weights[users],
            self.recent[users],
            graph,
            self.wanted[users],
            self.candidates[users],
        )

    def scores(self, start: I8, items: I4) -> F4:
        """(c, 2) float32: both features of candidates in compressed rows, `start` (u + 1,); 0 for items without a vector."""
        scores = np.zeros((len(items), 2), np.float32)
        table, row = rows_of(items.astype(np.int64), self.vectors)
        _text_scores(start, row, table, self.wanted, scores)
        return scores

    def arrays(self, items: I4) -> TextArrays:
        """With (c,) candidates in compressed rows."""
        table, row = rows_of(items.astype(np.int64), self.vectors)
        graph = self.graph
        return TextArrays(self.wanted, table, row, *self.places, self.weights, self.recent, graph.medoid, graph.group)

    def contributions(self, items: I4, weights: F8) -> F8:
        """(u, k, H) float64 for (u, k) int32 items: what each history place adds to `weights` (u, 2) times the features."""
        shares = np.zeros((*items.shape, self.places.row.shape[1]))
        table, row = rows_of(items.astype(np.int64), self.vectors)
        graph = self.graph
        add_shares(graph.medoid, graph.group, *self.places, self.weights, self.recent, table, row, weights, shares)
        return shares


def semantics(
    past: PastTexts,
    gains: F8,
    ages_s: F8,
    vectors: ItemVectors,
    allowed: NDArray[np.bool_],
    params: InterestParams,
    products_at_once: int = PRODUCTS_AT_ONCE,
) -> Semantics:
    """What the users of a batch are interested in, by text.

    Args:
        past: which vectors the places of u histories have.
        gains: (u, H) float64 of `recent_items`.
        ages_s: (u, H) float64: how much older each place is than the user's newest behaviour, s.
        vectors: of the catalogue.
        allowed: (n,) bool by dense index: what may be recommended.
        params: how many points and candidates, and how weights fade.
        products_at_once: most comparisons to find out what is near to items that nobody has asked about yet, and as many for
            texts that are no items. What does not find room proposes nothing this time, and has its turn in the next calls.
    """
    places = place_vectors(past, vectors)
    usable = np.where(places.row == NO_VECTOR, 0.0, gains)
    half_lives_s = params.half_lives_s
    worth = _shares(decayed_gains(usable, ages_s, half_lives_s, [1.0 / len(half_lives_s)] * len(half_lives_s)))
    place = np.arange(gains.shape[1])
    recent = _shares(usable * np.where(place < RECENT_PLACES, RECENT_DECAY**place, 0.0))
    graph = interest_graph(places, worth, params.points)
    sources = recent.copy()
    user, point = np.nonzero(graph.medoid >= 0)
    sources[user, graph.medoid[user, point]] += graph.weight[user, point]
    item = np.where(places.row == NO_VECTOR, NO_VECTOR, past.row)
    candidates = _proposed(sources, item, places.others, vectors, allowed, params.candidates, products_at_once)
    return Semantics(vectors, places, worth, recent, graph, user_vectors(graph, places, recent), candidates)


def _shares(weights: F8) -> F8:
    """Weights over the sum of their absolute values, by row."""
    total = np.abs(weights).sum(axis=1, keepdims=True)
    shares: F8 = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares


def _proposed(
    sources: F8, item: I8, others: F4, vectors: ItemVectors, allowed: NDArray[np.bool_], k: int, products_at_once: int
) -> I4:
    """(u, k) int32: the k allowed items with the largest weighted sums of cosines to sources that they are near to; -1 pads.

    `sources` (u, H) weights, `item` (u, H) as `PastTexts.row`. What somebody dislikes proposes nothing.
    """
    asked = np.unique(item[sources > 0.0])
    vectors.near.make(asked[asked >= 0], vectors, products_at_once)
    near, of_others = vectors.near, vectors.near.of_others(others, vectors, products_at_once)
    found = np.full((len(sources), k), NO_INDEX, np.int32)
    sums, is_touched = np.zeros(len(allowed), np.float32), np.zeros(len(allowed), np.bool_)
    _propose(sources, item, near.items, near.cosines, *of_others, allowed, sums, is_touched, found)
    return found


@compiled
def _propose(
    sources: F8,
    item: I8,
    near_items: I4,
    near_cosines: F4,
    other_items: I4,
    other_cosines: F4,
    allowed: NDArray[np.bool_],
    sums: F4,
    is_touched: NDArray[np.bool_],
    found: I4,
) -> None:
    touched, best = np.empty(near_items.shape[1] * sources.shape[1], np.int32), np.empty(found.shape[1], np.float32)
    for u in range(len(sources)):
        n = 0
        for q in range(sources.shape[1]):
            if sources[u, q] <= 0.0 or item[u, q] == NO_VECTOR:
                continue
            r, weight = item[u, q], np.float32(sources[u, q])
            items = near_items[r] if r >= 0 else other_items[-2 - r]
            cosines = near_cosines[r] if r >= 0 else other_cosines[-2 - r]
            for i in range(len(items)):
                j = items[i]
                if j < 0:
                    break
                if j >= len(allowed) or not allowed[j]:
                    continue
                if not is_touched[j]:
                    is_touched[j] = True
                    touched[n] = j
                    n += 1
                sums[j] += weight * cosines[i]
        _keep_best(touched[:n], sums, best, found[u])
        for i in range(n):
            sums[touched[i]], is_touched[touched[i]] = 0.0, False


@compiled_part
def _keep_best(touched: I4, sums: F4, best: F4, found: I4) -> None:
    """Fill `found` with those of the largest sums, in no order; of equal ones with the lower index."""
    n, least = 0, 0
    for j in touched:
        if n == len(found):
            if sums[j] < best[least] or (sums[j] == best[least] and j > found[least]):
                continue
            best[least], found[least] = sums[j], j
        else:
            best[n], found[n] = sums[j], j
            n += 1
        if n == len(found):
            least = 0
            for i in range(1, n):
                if best[i] < best[least] or (best[i] == best[least] and found[i] > found[least]):
                    least = i


@compiled
def _text_scores(start: I8, row: I8, table: F4, wanted: F4, scores: F4) -> None:
    """Fill (c, 2): products of both of a user's vectors with the row of each candidate."""
    for u in range(len(start) - 1):
        for c in range(start[u], start[u + 1]):
            if row[c] >= 0:
                scores[c, 0] = dot(wanted[u, 0], table[row[c]])
                scores[c, 1] = dot(wanted[u, 1], table[row[c]])

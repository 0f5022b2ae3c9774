"""The text side of a batch of users: what they were interested in, as points of the encoder's space; and what is near.

Past items and queries have vectors; `models.ranking.interest_graph` groups them into points. Two features of the ranking are

    text_points(j) = sum over points v of w(v | u) * cos(v, j)
    text_recent(j) = sum over the last items q of r_q * cos(h_q, j)

with cosines of centred vectors (`models.items.vectors.centred`). The weights of the points fade with time, relative to the
user's newest behaviour: what mattered before a holiday is not forgotten because of the holiday. Both are linear in the past
items, so each one's share is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.compiled import compiled
from models.items.index import NO_INDEX
from models.items.vectors import ItemVectors, centred
from models.ranking.interest_graph import InterestGraph, add_shares, decayed_gains, dot, interest_graph, user_vectors

FEW_USERS = 8

RECENT_DECAY, RECENT_PLACES = 0.8, 8
"""Of r_q, as of the fast co-occurrence scale."""


class InterestParams(NamedTuple):
    """How interests by text are told apart and fade."""

    points: int
    """Interests told apart per user."""
    candidates: int
    """Nearest items looked for per user."""
    half_lives_s: tuple[float, ...]
    """The weights fade with these, in equal shares."""


class Semantics(NamedTuple):
    """Of u users with H history places each."""

    vectors: ItemVectors
    """Of the catalogue; one model version, whatever is swapped meanwhile."""
    history: F4
    """(u, H, dims) float32 centred unit vectors; zeros where there is none."""
    weights: NDArray[np.float64]
    """(u, H): what each place is worth now to the points; 0 = nothing."""
    recent: NDArray[np.float64]
    """(u, H): r_q."""
    graph: InterestGraph
    wanted: F4
    """(u, 2, dims) float32: their products with an item's centred vector are the features above."""
    candidates: NDArray[np.int32]
    """(u, c) int32 dense indices of what is nearest, -1 pads."""

    def take(self, users: slice) -> Semantics:
        """Of these users."""
        graph = self.graph
        graph = InterestGraph(graph.medoid[users], graph.weight[users], graph.group[users], graph.edge[users])
        return Semantics(
            self.vectors,
            self.history[users],
            self.weights[users],
            self.recent[users],
            graph,
            self.wanted[users],
            self.candidates[users],
        )

    def scores(self, start: NDArray[np.int64], items: NDArray[np.int32]) -> F4:
        """(c, 2) float32: both features of candidates in compressed rows, `start` (u + 1,); 0 for items without a vector."""
        scores = np.zeros((len(items), 2), np.float32)
        rows = self.vectors.centred_rows()
        if rows is None:
            distinct, place = np.unique(items, return_inverse=True)
            _text_scores(start, place, centred(self.vectors.get(distinct), self.vectors.mean), self.wanted, scores)
        else:
            _text_scores(start, items.astype(np.int64), rows, self.wanted, scores)
        return scores

    def contributions(self, items: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(u, k, H) float64 for (u, k) int32 items: what each history place adds to `weights` (u, 2) times the features."""
        shares = np.zeros((*items.shape, self.history.shape[1]))
        found = centred(self.vectors.get(items), self.vectors.mean)
        add_shares(self.graph.medoid, self.graph.group, self.history, self.weights, self.recent, found, weights, shares)
        return shares


def semantics(
    history: F4,
    gains: NDArray[np.float64],
    ages_s: NDArray[np.float64],
    vectors: ItemVectors,
    allowed: NDArray[np.bool_],
    params: InterestParams,
) -> Semantics:
    """What the users of a batch are interested in, by text.

    Args:
        history: (u, H, dims) float32 unit vectors as the encoder gave them, zeros where there is none.
        gains: (u, H) float64 of `recent_items`.
        ages_s: (u, H) float64: how much older each place is than the user's newest behaviour, s.
        vectors: of the catalogue.
        allowed: (n,) bool by dense index: what may be recommended.
        params: how many points and candidates, and how weights fade.
    """
    own = centred(history, vectors.mean)
    usable = np.where(np.any(own != 0, axis=2), gains, 0.0)
    half_lives_s = params.half_lives_s
    worth = _shares(decayed_gains(usable, ages_s, half_lives_s, [1.0 / len(half_lives_s)] * len(half_lives_s)))
    place = np.arange(gains.shape[1])
    recent = _shares(usable * np.where(place < RECENT_PLACES, RECENT_DECAY**place, 0.0))
    graph = interest_graph(own, worth, params.points)
    wanted = np.stack((user_vectors(graph, own), np.einsum("uh,uhd->ud", recent, own).astype(np.float32)), axis=1)
    near = wanted.sum(axis=1)
    rows = vectors.centred_rows()
    if rows is None:
        nearest = vectors.nearest(near, params.candidates, allowed).items
    else:
        nearest = _nearest(_products(near, rows), vectors, allowed, params.candidates)
    return Semantics(vectors, own, worth, recent, graph, wanted, nearest)


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights over the sum of their absolute values, by row."""
    total = np.abs(weights).sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares


def _products(near: F4, rows: F4) -> F4:
    """(u, n) float32. For few users one after another: a product of two matrices first copies all rows, which costs as much as
    the products with ten vectors."""
    if len(near) > FEW_USERS:
        together: F4 = near @ rows.T
        return together
    return np.stack([rows @ one for one in near]) if len(near) else np.zeros((0, len(rows)), np.float32)


def _nearest(similar: F4, vectors: ItemVectors, allowed: NDArray[np.bool_], k: int) -> I4:
    """(u, k) int32: the most similar of the allowed items with a vector, in no order; -1 pads."""
    every = np.arange(similar.shape[1], dtype=np.int32)
    usable = vectors.has(every)
    usable[: len(allowed)] &= allowed[: len(usable)]
    usable[len(allowed) :] = False
    found = np.full((len(similar), k), NO_INDEX, np.int32)
    _take_best(similar, usable, found)
    return found


@compiled
def _take_best(similar: F4, usable: NDArray[np.bool_], found: I4) -> None:
    k = found.shape[1]
    best = np.empty(k, np.float32)
    for u in range(len(similar)):
        n, least, wanted = 0, np.int64(0), False
        for j in range(similar.shape[1]):
            value = similar[u, j]
            wanted = wanted or value != 0.0
            if not usable[j] or (n == k and value <= best[least]):
                continue
            at = n if n < k else least
            best[at], found[u, at] = value, j
            n = min(n + 1, k)
            if n == k:
                least = np.int64(np.argmin(best))
        if not wanted:
            found[u] = -1


@compiled
def _text_scores(start: I8, place: I8, rows: F4, wanted: F4, scores: F4) -> None:
    """Fill (c, 2): products of both of a user's vectors with the row of each candidate; 0 beyond the rows."""
    for u in range(len(start) - 1):
        for c in range(start[u], start[u + 1]):
            if place[c] < len(rows):
                scores[c, 0] = dot(wanted[u, 0], rows[place[c]])
                scores[c, 1] = dot(wanted[u, 1], rows[place[c]])

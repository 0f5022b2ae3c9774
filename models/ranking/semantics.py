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

from models.arrays import F4
from models.items.vectors import ItemVectors, centred
from models.ranking.interest_graph import InterestGraph, contributions, decayed_gains, interest_graph, user_vectors

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
    similar: F4 | None
    """(u, 2, n) float32: these products with every item by dense index, for a catalogue small enough to have them."""
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
            None if self.similar is None else self.similar[users],
            self.candidates[users],
        )

    def scores(self, start: NDArray[np.int64], items: NDArray[np.int32]) -> F4:
        """(c, 2) float32: both features of candidates in compressed rows, `start` (u + 1,); 0 for items without a vector."""
        user = np.repeat(np.arange(len(start) - 1), np.diff(start))
        if self.similar is not None:
            inside = items < self.similar.shape[2]
            known: F4 = np.where(inside[:, None], self.similar[user, :, np.where(inside, items, 0)], np.float32(0))
            return known
        distinct, place = np.unique(items, return_inverse=True)
        found = centred(self.vectors.get(distinct), self.vectors.mean)
        scores: F4 = np.einsum("cd,ctd->ct", found[place], self.wanted[user])
        return scores

    def contributions(self, items: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(u, k, H) float64 for (u, k) int32 items: what each history place adds to `weights` (u, 2) times the features."""
        found = centred(self.vectors.get(items), self.vectors.mean)
        points = contributions(self.graph, self.history, self.weights, found)
        recent = np.einsum("uhd,ukd->ukh", self.history, found).astype(np.float64) * self.recent[:, None, :]
        shares: NDArray[np.float64] = weights[:, 0, None, None] * points + weights[:, 1, None, None] * recent
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
    rows = vectors.centred_rows()
    near = wanted.sum(axis=1)
    if rows is None:
        nearest = vectors.nearest(near, params.candidates, allowed).items
        return Semantics(vectors, own, worth, recent, graph, wanted, None, nearest)
    similar = (wanted.reshape(-1, wanted.shape[2]) @ rows.T).reshape(len(wanted), 2, -1)
    return Semantics(
        vectors,
        own,
        worth,
        recent,
        graph,
        wanted,
        similar,
        _best(similar.sum(axis=1), vectors, allowed, params.candidates),
    )


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights over the sum of their absolute values, by row."""
    total = np.abs(weights).sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares


def _best(similar: F4, vectors: ItemVectors, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int32]:
    """(u, k) int32: the allowed items with a vector that are most similar, in no order; -1 for users who want nothing."""
    items = np.flatnonzero(allowed).astype(np.int32)
    items = items[vectors.has(items)]
    if items.size > k:
        part = np.argpartition(-similar[:, items], k - 1, axis=1)[:, :k]
        best = items[part]
    else:
        best = np.broadcast_to(items, (similar.shape[0], items.size))
    chosen: NDArray[np.int32] = np.where(np.any(similar != 0, axis=1, keepdims=True), best, np.int32(-1))
    return chosen

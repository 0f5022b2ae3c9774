"""The text side of a batch of users: what they were interested in, as points of the encoder's space; and what is near.

Past items and queries have vectors; `models.interest_graph` groups them into points. The ranking's `interest` part is

    interest = weight_interest * sum over points v of w(v | u) * cos(v, item)

with cosines of centred vectors (`models.item_vectors.centred`) and weights that fade with time, relative to the user's newest
behaviour: what mattered before a holiday is not forgotten because of the holiday.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.interest_graph import InterestGraph, contributions, decayed_gains, interest_graph, user_vectors
from models.item_vectors import ItemVectors, centred

_F4 = NDArray[np.float32]


class Semantics(NamedTuple):
    """Of u users with H history places each."""

    vectors: ItemVectors
    """Of the catalogue; one model version, whatever is swapped meanwhile."""
    history: _F4
    """(u, H, dims) float32 centred unit vectors; zeros where there is none."""
    weights: NDArray[np.float64]
    """(u, H): what each place is worth now; 0 = nothing."""
    graph: InterestGraph
    wanted: _F4
    """(u, dims) float32: its product with an item's centred vector is the sum above."""
    similar: _F4 | None
    """(u, n) float32: these products with every item by dense index, for a catalogue that is small enough to have them."""
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
            graph,
            self.wanted[users],
            None if self.similar is None else self.similar[users],
            self.candidates[users],
        )

    def scores(self, items: NDArray[np.int64]) -> _F4:
        """(u, n) float32: the sum above for each user and item; 0 for items without a vector."""
        if self.similar is not None:
            inside = items < self.similar.shape[1]
            known: _F4 = np.where(inside, self.similar[:, np.where(inside, items, 0)], np.float32(0))
            return known
        found = centred(self.vectors.get(items.astype(np.int32)), self.vectors.mean)
        scores: _F4 = self.wanted @ found.T
        return scores

    def contributions(self, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """(u, k, H) float64 for (u, k) int32 items: what each history place adds to the sum; exact."""
        found = centred(self.vectors.get(items), self.vectors.mean)
        return contributions(self.graph, self.history, self.weights, found)


def semantics(
    history: _F4,
    weights: NDArray[np.float64],
    ages_s: NDArray[np.float64],
    vectors: ItemVectors,
    allowed: NDArray[np.bool_],
    *,
    points: int,
    candidates: int,
    half_lives_s: Sequence[float],
) -> Semantics:
    """What the users of a batch are interested in, by text.

    Args:
        history: (u, H, dims) float32 unit vectors as the encoder gave them, zeros where there is none.
        weights: (u, H) float64 of `recent_items`.
        ages_s: (u, H) float64: how much older each place is than the user's newest behaviour, s.
        vectors: of the catalogue.
        allowed: (n,) bool by dense index: what may be recommended.
        points: interests told apart per user.
        candidates: nearest items looked for per user.
        half_lives_s: the weights fade with these, in equal shares.
    """
    own = centred(history, vectors.mean)
    worth = decayed_gains(weights, ages_s, half_lives_s, [1.0 / len(half_lives_s)] * len(half_lives_s))
    worth = np.where(np.any(own != 0, axis=2), worth, 0.0)
    graph = interest_graph(own, worth, points)
    wanted = user_vectors(graph, own)
    rows = vectors.centred_rows()
    if rows is None:
        return Semantics(vectors, own, worth, graph, wanted, None, vectors.nearest(wanted, candidates, allowed).items)
    similar: _F4 = wanted @ rows.T
    return Semantics(vectors, own, worth, graph, wanted, similar, _best(similar, vectors, allowed, candidates))


def _best(similar: _F4, vectors: ItemVectors, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int32]:
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

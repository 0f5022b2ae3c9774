"""Vectors of the catalogue's items, by dense index, of exactly one model version; and the nearest items to a vector.

Up to `APPROXIMATE_FROM` items the answer is exact: blocks of the float16 matrix are widened and multiplied. Beyond, an HNSW
graph (usearch) proposes and the exact products decide. usearch rather than faiss: it adds and removes rows one at a time
(faiss's HNSW cannot remove) and keeps them in int8, which is enough to propose. Building it takes minutes, so `index_some` does
it in slices between other work; what is not in it yet is answered exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4
from models.compiled import compiled_sums
from models.items.index import NO_INDEX
from models.items.near import Near, NearItems
from models.items.sketches import Sketches

APPROXIMATE_FROM: Final = 100_000
"""Vectors from which on the graph is used: there an exact answer for 64 users takes about as long as a refresh may."""

CANDIDATES: Final = 4
"""Times k that the graph proposes."""

MAX_PENDING: Final = 16_384
"""Vectors not yet in the graph up to which it is used nevertheless; they are compared one by one."""

_BLOCK: Final = 8192  # rows widened at once: 12 MB of float32 at 384 dimensions
_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 16, 128, 128


class Nearest(NamedTuple):
    """For u vectors the k nearest items each, best first; padded with item -1 and score 0."""

    items: NDArray[np.int32]
    """(u, k) int32 dense indices."""
    scores: NDArray[np.float32]
    """(u, k) float32: dot products, so cosines for unit vectors."""


def vector_bytes(dims: int) -> int:
    """Memory of one vector: float16, and float32 where it is kept ready as `centred`."""
    return 6 * dims


class ItemVectors:
    """Grows in place; all calls from one thread."""

    def __init__(self, model_version: str, dims: int, approximate_from: int = APPROXIMATE_FROM) -> None:
        """Empty.

        Args:
            model_version: of the encoder that all vectors, queries too, come from.
            dims: of a vector.
            approximate_from: number of vectors beyond which the graph is used.
        """
        self.model_version, self.dims = model_version, dims
        self.size = 0
        """Items that have a vector."""
        self._matrix = np.zeros((0, dims), np.float16)
        self._has = np.zeros(0, np.bool_)
        self._indexed = np.zeros(0, np.bool_)  # rows of the graph; always of items that have a vector
        self._approximate_from = approximate_from
        self._graph: Any = None
        self._sum = np.zeros(dims)  # of all vectors; exact, float16 numbers are whole multiples of 2 ** -24
        self._mean: NDArray[np.float32] | None = None
        self._mean_of = self._changed = 0
        self._centred: NDArray[np.float32] | None = None
        self.near = NearItems()
        self.sketches = Sketches()
        self.on_change: Callable[[NDArray[np.int32], NDArray[np.float16] | None], None] | None = None
        """Called before items get vectors, or lose them (None)."""

    @property
    def nbytes(self) -> int:
        """Memory of the vectors, without the graph's, in bytes."""
        return self.size * (2 * self.dims if self._centred is None else vector_bytes(self.dims))

    def put(self, indices: NDArray[np.int32], vectors: NDArray[Any]) -> None:
        """Set or replace vectors: (n,) distinct dense indices >= 0, (n, dims) rows of length 1.

        Raises:
            ValueError: rows of another length than `dims`, or indices that are negative or repeated.
        """
        if vectors.shape != (indices.size, self.dims):
            raise ValueError(f"{vectors.shape} vectors for {indices.size} items of {self.dims} dimensions")
        if not indices.size:
            return
        if int(indices.min()) < 0 or np.unique(indices).size != indices.size:
            raise ValueError("indices must be distinct and not negative")
        halves = vectors.astype(np.float16)
        if self.on_change is not None:
            self.on_change(indices, halves)
        self._reserve(int(indices.max()) + 1)
        self._leave_graph(indices)
        self.size += indices.size - int(self._has[indices].sum())
        self._set(indices, halves)
        self._has[indices] = True
        self.near.changed(indices)
        self.sketches.changed(indices)
        mean = self.mean  # taken anew, it makes all that was kept ready stale
        if self._centred is not None:
            self._centred[indices] = centred(self._matrix[indices].astype(np.float32), mean)

    def remove(self, indices: NDArray[np.int32]) -> None:
        """Forget vectors; unknown indices are ignored."""
        known = np.unique(indices[(indices >= 0) & (indices < self._has.size)])
        known = known[self._has[known]]
        if self.on_change is not None and known.size:
            self.on_change(known, None)
        self._leave_graph(known)
        self._has[known] = False
        self._set(known, np.zeros((known.size, self.dims), np.float16))
        self.size -= known.size
        if self._centred is not None:
            self._centred[known] = 0
        self.near.changed(known.astype(np.int32))
        self.sketches.changed(known.astype(np.int32))

    def index_some(self, limit: int) -> int:
        """Put up to `limit` more vectors into the graph, about 0.3 ms each; how many are left.

        0 while none is needed, and where the extra large-catalogue is not installed: then everything is answered exactly.
        """
        if self.size <= self._approximate_from or find_spec("usearch") is None:
            return 0
        pending = np.flatnonzero(self._has & ~self._indexed)
        some = pending[:limit]
        if some.size:
            self._ensured_graph().add(some.astype(np.uint64), self._matrix[some].astype(np.float32), threads=1)
            self._indexed[some] = True
        return int(pending.size - some.size)

    def has(self, indices: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each item has a vector; False for -1. Any shape."""
        inside = (indices >= 0) & (indices < self._has.size)
        if not self._has.size:
            return inside
        return inside & self._has[np.where(inside, indices, 0)]

    def indices(self) -> NDArray[np.int32]:
        """(size,) dense indices of all items that have a vector, ascending."""
        return np.flatnonzero(self._has).astype(np.int32)

    def get(self, indices: NDArray[np.int32]) -> NDArray[np.float32]:
        """(..., dims) float32; zeros where there is no vector."""
        has = self.has(indices)
        if not self._has.size:
            return np.zeros((*indices.shape, self.dims), np.float32)
        rows = self._matrix[np.where(has, indices, 0)].astype(np.float32)
        rows[~has] = 0
        return rows

    @property
    def mean(self) -> NDArray[np.float32]:
        """(dims,) float32: mean of all vectors, or of nearly all: made anew once a hundredth has come, gone or changed.

        Texts of one catalogue have much in common. Taken off (`centred`), what is left tells them apart, and two items that
        have only the catalogue in common have a cosine of about 0.
        """
        if self._mean is None or self._changed > self._mean_of // 100:
            self._mean = (self._sum / max(self.size, 1)).astype(np.float32)
            self._mean_of, self._changed = self.size, 0
            self._centred = None
            self.near.begin_again()
            self.sketches.begin_again()
        return self._mean

    def centred_rows(self) -> NDArray[np.float32] | None:
        """(n, dims) float32: `centred` vectors of all items by dense index, zeros where there is none; do not write to it.

        Kept ready up to `approximate_from` items, 1.5 KB each at 384 dimensions; None beyond.
        """
        if self.size > self._approximate_from:
            self._centred = None
            return None
        mean = self.mean
        if self._centred is None:
            self._centred = np.zeros(self._matrix.shape, np.float32)
            for start in range(0, self._has.size, _BLOCK):
                block = self._centred[start : start + _BLOCK]
                block[:] = self._matrix[start : start + _BLOCK]
                _centre(block, mean)
        return self._centred

    def centred_of(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m, dims) float32: the same of these items."""
        rows = self.centred_rows()
        return centred(self.get(indices.astype(np.int32)), self.mean) if rows is None else rows[indices]

    def nearest_items(self, queries: NDArray[np.float32], k: int) -> Near:
        """As `nearest` of all items that have a vector, allowed or not."""
        return Near(*self.nearest(queries, k, self._has))

    def nearest(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]) -> Nearest:
        """The k nearest allowed items to each of u vectors.

        Exact up to `approximate_from` vectors and while more than `MAX_PENDING` are not in the graph. Beyond, the graph's
        nearest `CANDIDATES` x k and all that is not in it are compared; a user for whom fewer than k are allowed is answered
        exactly.

        Args:
            queries: (u, dims) float32 of this model version; a zero vector gets an empty row.
            k: length of a row.
            allowed: (n,) bool by dense index, `Catalog.recommendable`; items beyond it are not allowed.
        """
        users = queries.shape[0]
        found = Nearest(np.full((users, k), NO_INDEX, np.int32), np.zeros((users, k), np.float32))
        asking = np.flatnonzero(np.any(queries != 0, axis=1))
        if not asking.size or not self.size:
            return found
        rows = self._has.copy()
        rows[: allowed.size] &= allowed[: rows.size]
        rows[allowed.size :] = False
        if self._graph is not None and self.size > self._approximate_from and self._pending() <= MAX_PENDING:
            asking = self._by_graph(queries, k, rows, asking, found)
        if asking.size:
            items, scores = _exact(self._matrix, np.flatnonzero(rows), queries[asking], k)
            found.items[asking], found.scores[asking] = items, scores
        return found

    def _by_graph(
        self, queries: NDArray[np.float32], k: int, rows: NDArray[np.bool_], asking: NDArray[np.int64], found: Nearest
    ) -> NDArray[np.int64]:
        """Fill in what the graph can answer; the users it cannot."""
        matches = self._graph.search(queries[asking], CANDIDATES * k, threads=1)
        keys = np.atleast_2d(matches.keys).astype(np.int64)
        counts = np.atleast_1d(matches.counts) if hasattr(matches, "counts") else np.full(asking.size, keys.shape[1])
        pending = np.flatnonzero(self._has & ~self._indexed)
        left = []
        for user, candidates, count in zip(asking.tolist(), keys, counts.tolist(), strict=True):
            usable = np.concatenate([candidates[:count], pending])
            usable = usable[rows[usable]]
            if usable.size < k:
                left.append(user)
                continue
            items, scores = _exact(self._matrix, np.sort(usable), queries[user : user + 1], k)
            found.items[user], found.scores[user] = items[0], scores[0]
        return np.array(left, np.int64)

    def _pending(self) -> int:
        return self.size - int(self._indexed.sum())

    def _ensured_graph(self) -> Any:
        if self._graph is None:
            from usearch.index import Index  # noqa: PLC0415  (only catalogues of this size need it)

            self._graph = Index(
                ndim=self.dims,
                metric="cos",
                dtype="i8",
                connectivity=_CONNECTIVITY,
                expansion_add=_EXPANSION_ADD,
                expansion_search=_EXPANSION_SEARCH,
            )
        return self._graph

    def _leave_graph(self, indices: NDArray[Any]) -> None:
        inside = indices[self._indexed[indices]]
        if inside.size:
            self._graph.remove(inside.astype(np.uint64))
            self._indexed[inside] = False

    def _set(self, indices: NDArray[Any], vectors: NDArray[np.float16]) -> None:
        self._sum += vectors.sum(axis=0, dtype=np.float64) - self._matrix[indices].sum(axis=0, dtype=np.float64)
        self._matrix[indices] = vectors
        self._changed += len(indices)

    def _reserve(self, length: int) -> None:
        if length > self._has.size:
            room = 1 << (length - 1).bit_length()
            before = self._has.size
            matrix, flags = np.zeros((room, self.dims), np.float16), np.zeros((2, room), np.bool_)
            matrix[:before], flags[0, :before], flags[1, :before] = self._matrix, self._has, self._indexed
            self._matrix, self._has, self._indexed = matrix, flags[0], flags[1]
            self._centred = None


def centred(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors without what they have in common; zeros stay zeros. (..., dims), (dims,) float32."""
    unit = np.array(vectors, np.float32)
    _centre(unit.reshape(-1, unit.shape[-1]), mean)
    return unit


@compiled_sums
def _centre(rows: F4, mean: F4) -> None:
    """In place; a row's numbers do not depend on the others. Of all vectors of a large catalogue at once: one pass, not six."""
    for i in range(len(rows)):
        row, before, square = rows[i], np.float32(0.0), np.float32(0.0)
        for d in range(len(row)):
            before += row[d] * row[d]
        if before == 0.0:
            continue
        for d in range(len(row)):
            row[d] -= mean[d]
            square += row[d] * row[d]
        length = np.sqrt(square)
        scale = np.float32(1.0) / length if length > np.float32(1e-6) else np.float32(0.0)
        for d in range(len(row)):
            row[d] *= scale


class VectorSpaces:
    """The vectors that serve, and those of a new model while they are being made. Never both at once."""

    def __init__(self, serving: ItemVectors) -> None:
        self.serving = serving
        self.coming: ItemVectors | None = None

    def begin(self, coming: ItemVectors) -> None:
        """Start collecting vectors of another model; `serving` goes on.

        Raises:
            ValueError: the model is the one that serves.
        """
        if coming.model_version == self.serving.model_version:
            raise ValueError(f"{coming.model_version} serves already")
        self.coming = coming

    def swap_if_complete(self, wanted: NDArray[np.bool_]) -> bool:
        """Let the new vectors serve once every wanted item ((n,) bool by dense index) that has a vector has a new one.

        One assignment: whoever took `serving` before goes on with the old vectors and their version.
        """
        if self.coming is None:
            return False
        indices = np.flatnonzero(wanted).astype(np.int32)
        if not bool(np.all(self.coming.has(indices) | ~self.serving.has(indices))):
            return False
        self.serving, self.coming = self.coming, None
        return True


def _exact(
    matrix: NDArray[np.float16], rows: NDArray[np.int64], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best k of these rows (ascending) for each query; of equal scores the lower index."""
    users = queries.shape[0]
    best_items = np.full((users, k), NO_INDEX, np.int64)
    best_scores = np.full((users, k), -np.inf, np.float32)
    for start in range(0, rows.size, _BLOCK):
        block = rows[start : start + _BLOCK]
        scores = queries @ matrix[block].astype(np.float32).T
        kept = np.broadcast_to(block, scores.shape)
        if block.size > 4 * k:  # cut each block first: only k of it can matter
            part = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            # Equal scores at the cut: argpartition keeps any of them. Rows are float16, so exact ties are duplicates.
            scores, kept = np.take_along_axis(scores, part, 1), np.take_along_axis(kept, part, 1)
        items = np.concatenate([best_items, kept], axis=1)
        scores = np.concatenate([best_scores, scores], axis=1)
        order = np.lexsort((items, -scores), axis=1)[:, :k]
        best_items, best_scores = np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1)
    empty = np.isneginf(best_scores)
    return np.where(empty, NO_INDEX, best_items).astype(np.int32), np.where(empty, 0, best_scores).astype(np.float32)

"""Short vectors that keep the cosines of long ones, to compare many items of a list with each other."""

from __future__ import annotations

from functools import cache
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.items.growing import GrowingArray

SKETCH_DIMS: Final = 48
"""Numbers of a sketch: a random projection keeps cosines to about 0.14 (Johnson and Lindenstrauss, 1984), for an eighth of
the work."""

ROWS_AT_ONCE: Final = 2_000
"""Made in one call at most, so that nobody waits longer: some 5 ms at 384 dimensions."""

_SEED: Final = 20_261_129


class Vectors(Protocol):
    """What sketches are made of: `models.items.vectors.ItemVectors`."""

    dims: int

    def has(self, indices: I4) -> NDArray[np.bool_]:
        """Whether each item has a vector."""
        ...

    def centred_of(self, indices: I8) -> F4:
        """(m, dims) float32."""
        ...


class Sketches:
    """Of all items by dense index, made some at a time when they are asked for; all calls from one thread.

    When the mean that is taken off vectors moves, sketches are old: used as they are, and made again as time allows.
    """

    def __init__(self) -> None:
        self._rows = GrowingArray(np.float32, SKETCH_DIMS)
        self._is_due = GrowingArray(np.bool_)
        self._left = 0

    def changed(self, items: I4) -> None:
        """These items are new, or have another vector, or none any more."""
        if not items.size:
            return
        size = int(items.max()) + 1
        self._rows.grow(size)
        self._is_due.grow(size)
        self._is_due.values[items] = True
        self._left += len(items)

    def begin_again(self) -> None:
        """The mean has moved."""
        self._is_due.values[:] = True
        self._left = len(self._is_due)

    def rows(self, vectors: Vectors, at_once: int = ROWS_AT_ONCE) -> F4:
        """(n, SKETCH_DIMS) float32 unit rows; zeros where an item has no vector, or its sketch is not made yet."""
        if self._left:
            due = np.flatnonzero(self._is_due.values)
            some = due[:at_once]
            has = vectors.has(some.astype(np.int32))
            made = np.zeros((len(some), SKETCH_DIMS), np.float32)
            made[has] = sketches(vectors.centred_of(some[has]), projection(vectors.dims))
            self._rows.values[some] = made
            self._is_due.values[some] = False
            self._left = len(due) - len(some)
        return self._rows.values


@cache
def projection(dims: int) -> F4:
    """(dims, SKETCH_DIMS) float32: the same on every machine."""
    rng = np.random.default_rng(_SEED)
    by: F4 = (rng.standard_normal((dims, SKETCH_DIMS)) / np.sqrt(SKETCH_DIMS)).astype(np.float32)
    by.setflags(write=False)
    return by


def sketches(centred: F4, by: F4) -> F4:
    """(n, SKETCH_DIMS) float32 unit rows of (n, dims) centred vectors; zeros stay zeros."""
    rows: F4 = centred @ by
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: F4 = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6)
    return unit

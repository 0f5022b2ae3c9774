"""Arrays that grow in place. What a worker knows of all items grows while it serves, and an array that doubles copies all that
it holds at once: with a million items, seconds in which nobody gets a list.

So address space for far more rows is reserved at the beginning. It costs no memory: the system gives pages as they are written
to, and they are zero until then. Where it cannot be reserved (a limit on address space, or as much reserved as used:
`vm.overcommit_memory` 2), or where more rows come than were reserved, the array doubles.
"""

from __future__ import annotations

import math
import mmap
import sys
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

RESERVED_ROWS: Final = 1 << 24
"""Of each array, at most."""

RESERVED_BYTES: Final = 1 << 38
"""Of each array, at most: a thousandth of what a process can address."""

FIRST_ROWS: Final = 1024
"""Where nothing is reserved."""

_NO_RESERVE: Final = 0x4000 if sys.platform == "linux" else 0
"""MAP_NORESERVE of Linux, which `mmap` does not name: not counted against memory."""

Scalar = TypeVar("Scalar", bound=np.generic)


class GrowingArray(Generic[Scalar]):
    """An array (n, *shape) whose first axis grows. Views of it stay what they are, and see what is written to their rows until
    it doubles."""

    def __init__(
        self, kind: type[Scalar] | np.dtype[Scalar], *shape: int, fill: float = 0, reserved_rows: int = RESERVED_ROWS
    ) -> None:
        """No rows; new ones are filled with `fill`."""
        self._kind, self._shape, self._fill = np.dtype(kind), shape, fill
        self._rows = 0
        rows = min(reserved_rows, RESERVED_BYTES // max(1, self._kind.itemsize * math.prod(shape)))
        reserved = _reserved(kind, rows, *shape)
        self._all: NDArray[Scalar] = np.zeros((0, *shape), kind) if reserved is None else reserved

    def __len__(self) -> int:
        return self._rows

    @property
    def values(self) -> NDArray[Scalar]:
        """(n, *shape)."""
        return self._all[: self._rows]

    def grow(self, rows: int) -> None:
        """Have at least `rows` rows."""
        if rows <= self._rows:
            return
        if rows > len(self._all):
            before = self.values
            self._all = np.zeros((max(FIRST_ROWS, 1 << (rows - 1).bit_length()), *self._shape), self._kind)
            self._all[: len(before)] = before
        if self._fill:
            self._all[self._rows : rows] = self._fill
        self._rows = rows


def zeros_when_used(kind: type[Scalar], *shape: int) -> NDArray[Scalar]:
    """As `np.zeros`, but certain to cost nothing before it is written to: of up to 32 MB that often takes used memory and
    clears it at once, which is 20 ms and more."""
    reserved = _reserved(kind, *shape)
    return np.zeros(shape, kind) if reserved is None else reserved


def _reserved(kind: type[Scalar] | np.dtype[Scalar], *shape: int) -> NDArray[Scalar] | None:
    """Zeros in memory of their own; None where there are no elements, or no address space is left."""
    size = np.dtype(kind).itemsize * math.prod(shape)
    if size == 0:
        return None
    try:
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    except (OSError, ValueError, OverflowError):
        return None
    return np.frombuffer(memory, kind).reshape(shape)

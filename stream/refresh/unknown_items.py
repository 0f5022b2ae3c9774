"""Items that people met and the catalogue does not know: their statistics are kept, up to a bound.

A record holds 9 KB with all its neighbours, in every worker, and its id may be whatever a scanner puts into a URL.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.items.growing import GrowingArray


class UnknownItems:
    """Which items there is room for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._listed = GrowingArray(np.bool_)

    def listed(self, indices: I8, listed: NDArray[np.bool_]) -> None:
        """The catalogue has these items by dense index, each once, or has them no more; -1 is none."""
        inside = indices >= 0
        self._reach(int(indices.max(initial=-1)) + 1)
        self._listed.values[indices[inside]] = listed[inside]

    def are_unknown(self, indices: I8) -> NDArray[np.bool_]:
        """(m,) of which of these items by dense index the catalogue says nothing; -1 is an item that nobody has met."""
        self._reach(int(indices.max(initial=-1)) + 1)
        known = np.zeros(len(indices), np.bool_)
        inside = indices >= 0
        known[inside] = self._listed.values[indices[inside]]
        return ~known

    def total(self, count: F8) -> int:
        """Items with statistics, `count` (n,) engagements each, that the catalogue does not know."""
        self._reach(len(count))
        return int(np.count_nonzero((count > 0) & ~self._listed.values[: len(count)]))

    def counted(self, indices: I8, count: F8, *, is_full: bool = False) -> NDArray[np.bool_]:
        """(m,) of which of these items statistics are kept: those that the catalogue knows, those that have some, and as many
        others as there is room for, none if memory `is_full`; `indices` -1 is an item that nobody has met."""
        self._reach(max(len(count), int(indices.max(initial=-1)) + 1))
        inside = indices >= 0
        at = np.where(inside, indices, 0)
        known = inside & self._listed.values[at] if len(self._listed.values) else np.zeros(len(indices), np.bool_)
        has_some = np.zeros(len(indices), np.bool_)
        within = inside & (indices < len(count))
        has_some[within] = count[indices[within]] > 0
        new = np.flatnonzero(~known & ~has_some)
        kept = np.ones(len(indices), np.bool_)
        if len(new):  # else there is nothing to count
            kept[new[0 if is_full else max(0, self._most - self.total(count)) :]] = False
        return kept

    def _reach(self, size: int) -> None:
        if size > len(self._listed.values):
            self._listed.grow(size)

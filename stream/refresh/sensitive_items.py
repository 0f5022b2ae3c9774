"""Items of the categories of `sensitive_categories`: nothing is told of them, and minors are not shown them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.items.catalog import CatalogItem
from models.items.category_patterns import category_pattern
from models.items.growing import GrowingArray


class SensitiveItems:
    """By dense index, as the catalogue says them."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """`patterns` of categories, at least one."""
        self._is_meant = category_pattern(patterns)
        self._are = GrowingArray(np.bool_)

    def note(self, rows: I8, items: Iterable[CatalogItem | None]) -> None:
        """What the catalogue says of the items of (m,) dense indices now; None: nothing more, and it stays as it was."""
        self._are.grow(int(rows.max(initial=-1)) + 1)
        for row, item in zip(rows.tolist(), items, strict=True):
            if item is not None:
                self._are.values[row] = any(map(self._is_meant, item.categories))

    def are(self, rows: I4 | I8) -> NDArray[np.bool_]:
        """Which of these dense indices, of any shape, are sensitive; False of those that the catalogue never had, and of -1."""
        known = (rows >= 0) & (rows < len(self._are))
        if not len(self._are):
            return known
        found: NDArray[np.bool_] = known & self._are.values[np.where(known, rows, 0)]
        return found

    def others(self, n: int) -> NDArray[np.bool_]:
        """(n,) which items are not sensitive."""
        return ~self.are(np.arange(n))

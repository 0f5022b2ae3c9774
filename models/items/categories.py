"""Which categories each item is in, as numbers: what a ranking reads of them for thousands of items a list."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.compiled import compiled
from models.items.growing import GrowingArray

CATEGORIES_EACH: Final = 8
"""Categories of an item that count, the first."""

CATEGORIES: Final = 4096
"""Categories that count, those that came first: a shop that has more uses them as tags that say little of taste."""

NO_CATEGORY: Final = -1

PRIOR_ITEMS, PRIOR_TOTAL = 1.0, 20.0
"""Engagements that each category, and all items, are taken to have had beforehand."""

VARIANCE: Final = 0.01
"""Added to the variance of a category, so that to share a rare one does not count without bound."""


class ItemCategories:
    """Of all items, by dense index. Shared by all snapshots of a catalogue: an older one sees what newer ones say."""

    def __init__(self) -> None:
        self._of = GrowingArray(np.int16, CATEGORIES_EACH, fill=NO_CATEGORY)
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        """Categories that have numbers."""
        return len(self._numbers)

    @property
    def of(self) -> NDArray[np.int16]:
        """(n, `CATEGORIES_EACH`) int16 in the order that the item names them in, `NO_CATEGORY` pads; items beyond have none."""
        return self._of.values

    def put(self, row: int, categories: Iterable[str]) -> None:
        """From now on the item with dense index `row` is in these."""
        numbers = [number for name in dict.fromkeys(categories) if (number := self._number(name)) != NO_CATEGORY]
        if not numbers and row >= len(self._of):
            return  # most catalogues without categories never take memory for them
        self._of.grow(row + 1)
        numbers = numbers[:CATEGORIES_EACH]
        self._of.values[row] = numbers + [NO_CATEGORY] * (CATEGORIES_EACH - len(numbers))

    def number_of(self, name: str) -> int:
        """By which `of` names this category; `NO_CATEGORY`: it has no number."""
        return self._numbers.get(name, NO_CATEGORY)

    def _number(self, name: str) -> int:
        if name not in self._numbers and len(self._numbers) < CATEGORIES:
            self._numbers[name] = len(self._numbers)
        return self._numbers.get(name, NO_CATEGORY)


class CategoryShares(NamedTuple):
    """How usual each category is among what people take."""

    share: F8
    """(C,) of the engagements with items that are in any category."""
    inverse: F8
    """(C,) 1 over the variance of being in it."""
    common: float
    """Sum of share^2 times inverse."""


NO_SHARES: Final = CategoryShares(np.zeros(0), np.zeros(0), 0.0)
"""Where nothing is in any category."""


def shares_of(engagements: F8, total: float) -> CategoryShares:
    """Shares of categories with (C,) engagements each, of `total` with items that are in any."""
    share = (engagements + PRIOR_ITEMS) / (total + PRIOR_TOTAL)
    inverse = 1.0 / (np.maximum(share * (1.0 - share), 0.0) + VARIANCE)
    # Numbers of categories differ between workers: exactly rounded, the sum does not.
    return CategoryShares(share, inverse, math.fsum((share**2 * inverse).tolist()))


@compiled
def count_engagements(begin: int, end: int, of: NDArray[np.int16], count: F8, engagements: F8, total: F8) -> None:
    """Add those with items `begin` to `end` to (C,) `engagements` and (1,) `total`; an item without statistics has none."""
    for j in range(begin, min(end, len(of), len(count))):
        if of[j, 0] >= 0:
            total[0] += count[j]
            for k in range(of.shape[1]):
                if 0 <= of[j, k] < len(engagements):
                    engagements[of[j, k]] += count[j]

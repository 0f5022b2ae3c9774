"""Which items each rule means, as arrays by dense index: evaluated when a rule or an item changes, never for a list.

An item that has just changed counts as not meant by any rule until it was looked at, and as forbidden by all that forbid, so no
list can hold what a rule forbids. A rule counts once all items were looked at; until then what was before goes on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.items.catalog import Catalog, CatalogItem
from models.items.growing import GrowingArray
from models.page.placing import GROUPS
from stream.errors import UsageError
from stream.rules.conditions import Condition, ItemColumns, evaluate
from stream.rules.rule import Rule

ITEMS_AT_ONCE: Final = 2_000
"""Looked at in one go: some 5 ms."""


class RuleMarks:
    """Of one rule."""

    def __init__(self, rule_id: str, rule: Rule, condition: Condition | None) -> None:
        self.rule_id, self.rule, self.condition = rule_id, rule, condition
        self._named = frozenset(rule.items)
        self._means = GrowingArray(np.bool_)
        self._groups = GrowingArray(np.int32, GROUPS, fill=-1)
        self.codes: dict[str, int] = {}
        """`cap`: numbers of what items have in common."""
        self._known = GrowingArray(np.bool_)
        self._at = 0
        self._before: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.error: str | None = None
        """Why it does not count: its condition could not be told of an item."""

    @property
    def means(self) -> NDArray[np.bool_]:
        """(n,) as far as items were looked at."""
        return self._means.values

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) which items were looked at since they last changed."""
        return self._known.values

    @property
    def groups(self) -> I4:
        """(n, GROUPS) `cap`: numbers of what the item is one of, -1 pads."""
        return self._groups.values

    def is_complete(self, catalog: Catalog) -> bool:
        """Whether every item was looked at once."""
        return self._at >= len(catalog.recommendable)

    def begin_again(self) -> None:
        """What moves has moved: look at all items anew, and go on with what is known until then."""
        self._at, self._before = 0, self.means.copy()

    @property
    def means_others(self) -> bool:
        """Whether it means other items than when it began again."""
        return not np.array_equal(self._before, self.means)

    def step(self, catalog: Catalog, popularity: NDArray[np.float64], now_ms: int, items: int = ITEMS_AT_ONCE) -> None:
        """Look at so many items more."""
        end = min(self._at + items, len(catalog.recommendable))
        self.look_at(np.arange(self._at, end), catalog, popularity, now_ms)
        self._at = end

    def look_at(self, rows: I8, catalog: Catalog, popularity: NDArray[np.float64], now_ms: int) -> None:
        """Look at these items, distinct dense indices >= 0."""
        if not len(rows):
            return
        size = int(rows.max()) + 1
        for array in (self._means, self._groups, self._known):
            array.grow(size)
        self._means.values[rows], self._known.values[rows] = False, True
        self._groups.values[rows] = -1
        found = [(row, item) for row in rows.tolist() if (item := catalog.item(row)) is not None]
        if not found:
            return
        there = np.array([row for row, _ in found], np.int64)
        if self.rule.kind == "cap":
            self._groups.values[there] = [self._groups_of(item) for _, item in found]
            return
        means = np.ones(len(there), np.bool_)
        if self._named:
            means &= np.fromiter((item.item_id in self._named for _, item in found), np.bool_, len(found))
        if self.condition is not None:
            counts = np.zeros(len(there))
            counted = there < len(popularity)
            counts[counted] = popularity[there[counted]]
            try:
                means &= evaluate(self.condition, ItemColumns([item for _, item in found], counts, now_ms))
            except UsageError as error:
                self.error = error.message
        self._means.values[there] = means

    def changed(self, rows: I8) -> None:
        """These items changed, and were not looked at yet."""
        known = rows[(rows >= 0) & (rows < len(self._known))]
        self._known.values[known] = False
        self._means.values[known] = False

    def _groups_of(self, item: CatalogItem) -> list[int]:
        by = self.rule.by or ""
        if by == "category":
            names: tuple[str | None, ...] = item.categories
        elif by == "language":
            names = (item.language,)
        else:
            names = (dict(item.attributes).get(by.removeprefix("attributes.")),)
        codes = [self.codes.setdefault(name, len(self.codes)) for name in dict.fromkeys(names) if name is not None]
        return [*codes[:GROUPS], *[-1] * (GROUPS - len(codes))]

"""Which items each rule means, as arrays by dense index: evaluated when a rule or an item changes, never for a list.

An item that has just changed counts as not meant by any rule until it was looked at, and as forbidden by all that forbid, so no
list can hold what a rule forbids. A rule counts once all items were looked at; until then what was before goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.items.catalog import Catalog, CatalogItem
from models.items.growing import GrowingArray
from models.page.placing import GROUPS
from stream.rules.conditions import Condition, ItemColumns, evaluate
from stream.rules.rule import Rule

ITEMS_AT_ONCE: Final = 2_000
"""Looked at in one go: some 5 ms."""

EVALUATIONS_MAX: Final = 24
"""Of one condition in one go, some 0.7 ms each: enough to find one item among `ITEMS_AT_ONCE` of which it cannot be told. Where
there are many, those beside them are left unknown, too."""


class Seen(NamedTuple):
    """What rules are asked of."""

    catalog: Catalog
    popularity: NDArray[np.float64]
    """(n or fewer,) first engagements by dense index."""
    now_ms: int

    @property
    def size(self) -> int:
        """Items that have an index."""
        return len(self.catalog.recommendable)


class RuleMarks:
    """Of one rule."""

    def __init__(self, rule: Rule, condition: Condition | None) -> None:
        self.rule, self.condition = rule, condition
        self._named = frozenset(rule.items)
        self._means = GrowingArray(np.bool_)
        self._groups = GrowingArray(np.int32, GROUPS, fill=-1)
        self.codes: dict[str, int] = {}
        """`cap`: numbers of what items have in common."""
        self._known = GrowingArray(np.bool_)
        self._again_at: int | None = None
        self.error: str | None = None
        """Why it does not count for some item, until somebody has told of it."""

    @property
    def means(self) -> NDArray[np.bool_]:
        """(n,) as far as items were looked at."""
        return self._means.values

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) of which items it is known, as far as they were looked at. Not of those that changed since, and of those that it
        cannot be told of."""
        return self._known.values

    @property
    def groups(self) -> I4:
        """(n, GROUPS) `cap`: numbers of what the item is one of, -1 pads."""
        return self._groups.values

    def is_complete(self, seen: Seen) -> bool:
        """Whether every item was looked at once."""
        return len(self._known) >= seen.size

    def changed(self, rows: I8) -> None:
        """These items changed, and were not looked at yet."""
        known = rows[(rows >= 0) & (rows < len(self._known))]
        self._known.values[known] = False
        self._means.values[known] = False

    def step(self, seen: Seen, items: int = ITEMS_AT_ONCE) -> None:
        """Look at so many items that were never looked at."""
        begin = len(self._known)
        self._look_at(np.arange(begin, min(begin + items, seen.size)), seen)

    def catch_up(self, rows: I8, seen: Seen) -> None:
        """Look at these items again, distinct ones that changed."""
        self._look_at(rows[(rows >= 0) & (rows < len(self._known))], seen)

    def begin_again(self) -> None:
        """What moves has moved: look at all items anew, and go on with what is known until then."""
        self._again_at = 0

    def step_again(self, seen: Seen, items: int = ITEMS_AT_ONCE) -> bool:
        """Look at so many of them; whether it means others now."""
        if self._again_at is None:
            return False
        end = min(self._again_at + items, len(self._known))
        rows = np.arange(self._again_at, end)
        before = self.means[rows]
        self._look_at(rows, seen)
        self._again_at = None if end == len(self._known) else end
        return not np.array_equal(before, self.means[rows])

    def _look_at(self, rows: I8, seen: Seen) -> None:
        """At these items, distinct dense indices >= 0."""
        if not len(rows):
            return
        size = int(rows.max()) + 1
        for array in (self._means, self._groups, self._known):
            array.grow(size)
        self._means.values[rows], self._known.values[rows] = False, True
        self._groups.values[rows] = -1
        found = [(row, item) for row in rows.tolist() if (item := seen.catalog.item(row)) is not None]
        if not found:
            return
        there, items = np.array([row for row, _ in found], np.int64), [item for _, item in found]
        if self.rule.kind == "cap":
            self._groups.values[there] = [self._groups_of(item) for item in items]
            return
        means = np.ones(len(items), np.bool_)
        if self._named:
            means = np.fromiter((item.item_id in self._named for item in items), np.bool_, len(items))
        self._means.values[there] = means
        if self.condition is not None:
            self._evaluate(self.condition, items, there, seen)

    def _evaluate(self, condition: Condition, items: Sequence[CatalogItem], rows: I8, seen: Seen) -> None:
        """Also by the condition. It costs the items of which it cannot be told, not those beside them."""
        counts = np.zeros(len(items))
        counted = rows < len(seen.popularity)
        counts[counted] = seen.popularity[rows[counted]]
        parts, evaluations = [(0, len(items))], 0
        while parts:
            begin, end = parts.pop()
            of = rows[begin:end]
            if evaluations < EVALUATIONS_MAX:
                evaluations += 1
                try:
                    columns = ItemColumns(items[begin:end], counts[begin:end], seen.now_ms)
                    self._means.values[of] &= evaluate(condition, columns)
                    continue
                except ValueError as error:
                    self.error = f"item {items[begin].item_id[:64]!r}: the condition {error}"
            if end - begin > 1 and evaluations < EVALUATIONS_MAX:
                half = (begin + end) // 2
                parts += [(half, end), (begin, half)]
            else:
                self._means.values[of], self._known.values[of] = False, False

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

"""What is known of items: one of them, a search, what is near to one, what leads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_MS
from models.items.catalog import CatalogItem
from models.items.categories import CATEGORIES, CATEGORIES_EACH, NO_CATEGORY
from models.items.growing import GrowingArray
from models.items.record import NEVER_MS, TREND_DAYS
from models.ranking.features import COUNT_SMOOTHING
from stream.refresh.knowledge import Knowledge
from stream.refresh.page import Narrowed
from stream.serve.answers import ItemFound

DECAYED: Final = ("hour_1", "hour_6", "day_1", "day_7", "day_60", "day_365")
"""Names of the decayed counts, in the order of `models.items.record.TREND_DAYS`."""

SCANNED_AT_ONCE: Final = 200_000
"""Items whose titles a search looks at; of a larger catalogue the ones that were listed first."""


class Shelf:
    """Looks at what a worker knows of items.

    Prices and titles are kept in columns: to look at 200,000 items of the catalogue one by one stops everybody for 60 ms.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._prices: GrowingArray[np.float64] = GrowingArray(np.float64, fill=np.nan)
        """By dense index; not a number where an item has none."""
        self._titles: list[str] = []
        """Of the first `SCANNED_AT_ONCE`, as they are searched; empty: not in the catalogue."""
        self._is_searched: GrowingArray[np.bool_] = GrowingArray(np.bool_)
        """By dense index: those of them that are in the catalogue."""
        self._in_many: set[int] = set()
        """Items in more categories than have room in `ItemCategories`."""

    def changed(self, item_ids: Iterable[str]) -> None:
        """The catalogue says something else of these by now: to be told of every change."""
        catalog = self._knowledge.catalog
        for at in self.indices_of(item_ids).tolist():
            item = catalog.item(at)
            self._prices.grow(at + 1)
            self._prices.values[at] = np.nan if item is None or item.price is None else item.price
            if at < SCANNED_AT_ONCE:
                self._titles += [""] * (at + 1 - len(self._titles))
                self._titles[at] = "" if item is None else f"{item.title} {item.item_id}".casefold()
                self._is_searched.grow(at + 1)
                self._is_searched.values[at] = item is not None
            if item is not None and len(item.categories) > CATEGORIES_EACH:
                self._in_many.add(at)
            else:
                self._in_many.discard(at)

    def index_of(self, item_id: str) -> int:
        """Dense index; -1: nobody has heard of it."""
        return int(self._rows([item_id])[0])

    def indices_of(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        """(m,) dense indices of those that are known."""
        found = self._rows(item_ids)
        return found[found >= 0].astype(np.int32)

    def _rows(self, item_ids: Iterable[str]) -> NDArray[np.int32]:
        hash_for = self._knowledge.names.hash_for
        return self._knowledge.index.lookup(np.array([hash_for(item_id) for item_id in item_ids], np.uint64))

    def item(self, item_id: str) -> CatalogItem | None:
        """As the catalogue has it."""
        at = self.index_of(item_id)
        return self._knowledge.catalog.item(at) if at >= 0 else None

    def found(self, index: int, score: float = 0.0) -> ItemFound | None:
        """Briefly; None: the catalogue does not have it."""
        item = self._knowledge.catalog.item(index)
        if item is None:
            return None
        return ItemFound(item.item_id, item.title, float(score), item.price, item.categories, item.available)

    async def search(self, text: str, n: int) -> tuple[list[ItemFound], int]:
        """Items whose title has every word of `text`, or whose id it is, the most chosen first; and how many there are."""
        words, titles = text.casefold().split(), self._titles
        if words:
            found = await asyncio.to_thread(_with_words, titles, words)
        else:
            found = np.flatnonzero(self._is_searched.values)
        counts = self._counts(found)
        exact = self.index_of(text) if text else -1
        first = [exact] if exact >= 0 and self._knowledge.catalog.item(exact) is not None else []
        chosen = first + [at for at in found[largest(counts, n)].tolist() if at not in first]
        items = [each for at in chosen[:n] if (each := self.found(at)) is not None]
        return items, len(found) + (bool(first) and not (found == exact).any())

    def related(self, index: int, n: int, *, forward: bool = False) -> list[ItemFound]:
        """Items that the same people chose, by cosine; `forward`: that they chose after it."""
        stats = self._knowledge.stats
        if not 0 <= index < stats.size:
            return []
        row = stats.neighbour_row[index]
        neighbours = stats.neighbours[row]
        weights = (stats.neighbour_forwards if forward else stats.neighbour_weights)[row]
        used = neighbours >= 0
        neighbours, weights = neighbours[used], weights[used]
        norm = np.sqrt((stats.count[neighbours] + COUNT_SMOOTHING) * (stats.count[index] + COUNT_SMOOTHING))
        cosines = weights / norm
        return self._best(neighbours, cosines, n)

    def similar(self, index: int, n: int) -> list[ItemFound]:
        """Items that read alike, by cosine of their texts; none without an encoder."""
        vectors = self._knowledge.vectors
        if vectors is None or index < 0 or not vectors.has(np.array([index], np.int32))[0]:
            return []
        own = vectors.get(np.array([index], np.int32))
        near = vectors.nearest(own, n + 1, self._knowledge.catalog.recommendable)
        kept = (near.items[0] >= 0) & (near.items[0] != index)
        return self._best(near.items[0][kept], near.scores[0][kept], n)

    def trending(self, allowed: NDArray[np.bool_] | None, now_ms: int, n: int) -> list[ItemFound]:
        """What was chosen most within about a day of event time, by its decayed count as of now."""
        knowledge, stats = self._knowledge, self._knowledge.stats
        size = min(stats.size, len(knowledge.catalog.recommendable))
        may = knowledge.catalog.recommendable[:size].copy()
        if allowed is not None:
            may &= allowed[:size]
        rows = np.flatnonzero(may & (stats.count[:size] > 0))
        since_days = np.maximum(knowledge.stream_time_ms(now_ms) - stats.trend_ms[rows], 0) / DAY_MS
        values = stats.trend[rows, DECAYED.index("day_1")] * np.exp(-since_days)
        best = largest(values, n)
        return self._best(rows[best], values[best], n)

    def decayed(self, index: int, now_ms: int) -> dict[str, float]:
        """Engagements by how fast they fade, as of now."""
        stats = self._knowledge.stats
        if not 0 <= index < stats.size:
            return dict.fromkeys(DECAYED, 0.0)
        since_days = max(0, self._knowledge.stream_time_ms(now_ms) - int(stats.trend_ms[index])) / DAY_MS
        values = stats.trend[index].tolist()
        return {
            name: value * float(np.exp(-since_days / each))
            for name, value, each in zip(DECAYED, values, TREND_DAYS, strict=True)
        }

    def first_seen(self, index: int) -> int:
        """Event time of its first engagement; 0: none."""
        stats = self._knowledge.stats
        found = int(stats.first_seen_ms[index]) if 0 <= index < stats.size else NEVER_MS
        return 0 if found == NEVER_MS else found

    def narrowed(self, categories: Sequence[str], price_min: float | None, price_max: float | None) -> Narrowed | None:
        """Items of one of these categories, in this range of prices; None: all."""
        if not categories and price_min is None and price_max is None:
            return None
        catalog = self._knowledge.catalog
        allowed = catalog.recommendable.copy()
        if categories:
            allowed &= self._in_any(categories, len(allowed))
        if price_min is not None or price_max is not None:
            prices, n = self._prices.values, min(len(allowed), len(self._prices))
            low, high = -np.inf if price_min is None else price_min, np.inf if price_max is None else price_max
            allowed[:n] &= (prices[:n] >= low) & (prices[:n] <= high)
            allowed[n:] = False
        # Not of which catalogue: what leads among them is kept a moment, and a live catalogue changes all the time.
        return Narrowed(allowed, f"{sorted(set(categories))} {price_min} {price_max}")

    def _in_any(self, categories: Sequence[str], n: int) -> NDArray[np.bool_]:
        """(n,) whether each item is in one of these categories."""
        catalog, wanted = self._knowledge.catalog, frozenset(categories)
        numbered = catalog.categories
        numbers = [numbered.number_of(name) for name in wanted]
        looked_at: Iterable[int] = self._in_many
        if NO_CATEGORY in numbers and len(numbered) == CATEGORIES:  # of so many categories some have no number
            looked_at = range(n)
        # The last place is for -1, "no category".
        is_wanted = np.zeros(CATEGORIES + 1, np.bool_)
        is_wanted[[number for number in numbers if number != NO_CATEGORY]] = True
        found = np.zeros(n, np.bool_)
        of = numbered.of[:n]
        found[: len(of)] = is_wanted[of].any(axis=1)
        for at in looked_at:
            if at < n and not found[at] and (item := catalog.item(at)) is not None:
                found[at] = not wanted.isdisjoint(item.categories)
        return found

    def _best(self, rows: NDArray[np.integer], values: NDArray[np.floating], n: int) -> list[ItemFound]:
        found: list[ItemFound] = []
        for i in np.argsort(-values, kind="stable").tolist():
            if len(found) == n or not values[i] > 0.0:
                break
            each = self.found(int(rows[i]), float(values[i]))
            if each is not None and each.available:
                found.append(each)
        return found

    def _counts(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        stats = self._knowledge.stats
        counts = np.zeros(len(rows))
        known = rows < stats.size
        counts[known] = stats.count[rows[known]]
        return counts


def fits(item: CatalogItem, categories: frozenset[str], price_min: float | None, price_max: float | None) -> bool:
    """Whether an item is of one of these categories (none: of any), in this range of prices."""
    if categories and categories.isdisjoint(item.categories):
        return False
    if price_min is None and price_max is None:
        return True
    if item.price is None:
        return False
    return (price_min is None or item.price >= price_min) and (price_max is None or item.price <= price_max)


def largest(values: NDArray[np.floating], n: int) -> NDArray[np.int64]:
    """(n or fewer,) where the n largest are, the largest first, of equals the first ones first."""
    if len(values) > n > 0:
        least = np.partition(values, len(values) - n)[len(values) - n]
        above = np.flatnonzero(values > least)
        equal = np.flatnonzero(values == least)[: n - len(above)]
        kept = np.sort(np.concatenate((above, equal)))
    else:
        kept = np.arange(len(values))[:n]
    return kept[np.argsort(-values[kept], kind="stable")]


def _with_words(titles: list[str], words: Sequence[str]) -> NDArray[np.int64]:
    """Places of the titles that have all of the words."""
    longest, *others = sorted(words, key=len, reverse=True)
    found = [at for at, title in enumerate(titles) if longest in title]
    if others:
        found = [at for at in found if all(word in titles[at] for word in others)]
    return np.array(found, np.int64)

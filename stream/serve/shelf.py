"""What is known of items: one of them, a search, what is near to one, what leads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import CatalogItem
from models.items.record import NEVER_MS
from models.ranking.features import COUNT_SMOOTHING
from stream.refresh.knowledge import Knowledge
from stream.refresh.page import Narrowed
from stream.serve.answers import ItemFound

DECAYED: Final = ("hour_1", "hour_6", "day_1", "day_7", "day_60", "day_365")
"""Names of the decayed counts, in the order of `models.items.record.TREND_DAYS`."""

SCANNED_AT_ONCE: Final = 200_000
"""Items whose titles a search looks at; of a larger catalogue the ones that were listed first."""


class Shelf:
    """Looks at what a worker knows of items."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._titles: tuple[int, list[tuple[int, str]]] = (-1, [])

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

    def search(self, text: str, n: int) -> tuple[list[ItemFound], int]:
        """Items whose title has every word of `text`, or whose id it is, the most chosen first; and how many there are."""
        words = text.casefold().split()
        found = [at for at, title in self._searched() if all(word in title for word in words)]
        counts = self._counts(found)
        order = np.argsort(-counts, kind="stable")[:n]
        exact = self.index_of(text) if text else -1
        first = [exact] if exact >= 0 and self._knowledge.catalog.item(exact) is not None else []
        chosen = first + [found[i] for i in order.tolist() if found[i] not in first]
        items = [each for at in chosen[:n] if (each := self.found(at)) is not None]
        return items, len(set(found) | set(first))

    def _searched(self) -> list[tuple[int, str]]:
        catalog = self._knowledge.catalog
        version, titles = self._titles
        if version != catalog.version:
            indices = range(min(len(self._knowledge.index), SCANNED_AT_ONCE))
            items = ((at, catalog.item(at)) for at in indices)
            titles = [(at, f"{item.title} {item.item_id}".casefold()) for at, item in items if item is not None]
            self._titles = catalog.version, titles
        return titles

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
        since_days = np.maximum(knowledge.stream_time_ms(now_ms) - stats.trend_ms[rows], 0) / 86_400_000.0
        values = stats.trend[rows, DECAYED.index("day_1")] * np.exp(-since_days)
        return self._best(rows, values, n)

    def decayed(self, index: int, now_ms: int) -> dict[str, float]:
        """Engagements by how fast they fade, as of now."""
        stats = self._knowledge.stats
        if not 0 <= index < stats.size:
            return dict.fromkeys(DECAYED, 0.0)
        since_days = max(0, self._knowledge.stream_time_ms(now_ms) - int(stats.trend_ms[index])) / 86_400_000.0
        days = (1 / 24, 0.25, 1.0, 7.0, 60.0, 365.0)
        values = stats.trend[index].tolist()
        return {
            name: value * float(np.exp(-since_days / each))
            for name, value, each in zip(DECAYED, values, days, strict=True)
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
        catalog, wanted = self._knowledge.catalog, frozenset(categories)
        name = f"{catalog.version} {sorted(wanted)} {price_min} {price_max}"
        allowed = np.zeros(len(catalog.recommendable), np.bool_)
        for at in np.flatnonzero(catalog.recommendable).tolist():
            item = catalog.item(at)
            allowed[at] = item is not None and fits(item, wanted, price_min, price_max)
        return Narrowed(allowed, name)

    def _best(self, rows: NDArray[np.integer], values: NDArray[np.floating], n: int) -> list[ItemFound]:
        found: list[ItemFound] = []
        for i in np.argsort(-values, kind="stable").tolist():
            if len(found) == n or not values[i] > 0.0:
                break
            each = self.found(int(rows[i]), float(values[i]))
            if each is not None and each.available:
                found.append(each)
        return found

    def _counts(self, indices: Sequence[int]) -> NDArray[np.float64]:
        stats, rows = self._knowledge.stats, np.array(indices, np.int64)
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

"""What can be recommended: immutable snapshots of the catalogue over one shared `ItemIndex`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.hashing import item_hash
from models.items.categories import ItemCategories
from models.items.index import ItemIndex

_PAGE = 512  # items copied when one of them changes


class CatalogItem(msgspec.Struct, frozen=True, gc=False):
    """One item as its producer described it.

    Python does not look for garbage in it (nothing in it can be part of a cycle): among a million tuples that takes longer than
    a list may wait.
    """

    item_id: str
    title: str
    categories: tuple[str, ...] = ()
    description: str | None = None
    language: str | None = None
    media_text: str | None = None
    available: bool = True
    """False: never recommended."""
    price: float | None = None
    published_at_ms: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """Names and values; rules ask for them."""


_Page = list[CatalogItem | None]


class Catalog:
    """One state of the catalogue. Never changes; `apply` makes the next one and shares the pages that stay the same.

    Two ids whose hashes collide (see `models.hashing`) share one place: the later one has it.
    """

    __slots__ = ("_pages", "categories", "index", "recommendable", "size", "version")

    def __init__(
        self,
        index: ItemIndex,
        categories: ItemCategories,
        pages: tuple[_Page, ...],
        recommendable: NDArray[np.bool_],
        version: int,
        size: int,
    ) -> None:
        """For `empty` and `apply` only."""
        recommendable.flags.writeable = False
        self.index = index
        """Shared by all snapshots; it also numbers items that are not in the catalogue."""
        self.categories = categories
        """Shared likewise."""
        self.recommendable = recommendable
        """(n,) bool by dense index: known and available. Indices from n on are not recommendable."""
        self.version = version
        """How many times `apply` was called since `empty`."""
        self.size = size
        """Number of items, available or not."""
        self._pages = pages

    @classmethod
    def empty(cls, index: ItemIndex) -> Catalog:
        """Version 0: no items. `index` is the one shared with the item statistics."""
        return cls(index, ItemCategories(), (), np.zeros(0, np.bool_), 0, 0)

    def apply(self, changes: Mapping[str, CatalogItem | None]) -> Catalog:
        """The next snapshot: `changes` by item_id, None = removed. This one stays as it is.

        Raises:
            ValueError: an item stands under another id than its own.
        """
        for item_id, item in changes.items():
            if item is not None and item.item_id != item_id:
                raise ValueError(f"item {item.item_id!r} stands under the id {item_id!r}")
        kept = [item_id for item_id, item in changes.items() if item is not None]
        gone = [item_id for item_id, item in changes.items() if item is None]
        rows = (*self.index.intern(_hashes(kept)).tolist(), *self.index.lookup(_hashes(gone)).tolist())

        length = max(self.recommendable.size, 1 + max(rows, default=-1))
        recommendable = np.zeros(length, np.bool_)
        recommendable[: self.recommendable.size] = self.recommendable
        pages: list[_Page] = list(self._pages)
        pages.extend([None] * _PAGE for _ in range(len(pages), -(-length // _PAGE)))
        own: set[int] = set()
        size = self.size
        for row, item_id in zip(rows, (*kept, *gone), strict=True):
            number, place = divmod(row, _PAGE)
            before = pages[number][place] if row >= 0 else None
            item = changes[item_id]
            if item is None and (before is None or before.item_id != item_id):
                continue
            if number not in own:
                own.add(number)
                pages[number] = pages[number].copy()
            pages[number][place] = item
            recommendable[row] = item is not None and item.available
            self.categories.put(row, () if item is None else item.categories)
            size += (item is not None) - (before is not None)
        return Catalog(self.index, self.categories, tuple(pages), recommendable, self.version + 1, size)

    def only(self, allowed: NDArray[np.bool_]) -> Catalog:
        """The same snapshot, of which only these may be recommended: (n,) bool by dense index; nothing beyond it is."""
        recommendable = np.zeros(len(self.recommendable), np.bool_)
        n = min(len(allowed), len(recommendable))
        recommendable[:n] = self.recommendable[:n] & allowed[:n]
        return Catalog(self.index, self.categories, self._pages, recommendable, self.version, self.size)

    def item(self, index: int) -> CatalogItem | None:
        """The item with this dense index; None if it is not in this snapshot (removed, unknown, or index -1)."""
        number, place = divmod(index, _PAGE)
        return self._pages[number][place] if 0 <= number < len(self._pages) else None

    def id_of(self, index: int) -> str | None:
        """The id of the item with this dense index; None as in `item`."""
        item = self.item(index)
        return None if item is None else item.item_id

    def item_ids(self) -> list[str]:
        """Of all items, by dense index."""
        return [item.item_id for page in self._pages for item in page if item is not None]

    def is_recommendable(self, indices: ArrayLike) -> NDArray[np.bool_]:
        """Whether each item may be recommended; False for -1 and beyond this snapshot. Any shape int -> bool."""
        asked = np.asarray(indices, np.int64)
        inside = (asked >= 0) & (asked < self.recommendable.size)
        if not self.recommendable.size:
            return inside
        return inside & self.recommendable[np.where(inside, asked, 0)]


def _hashes(item_ids: Iterable[str]) -> NDArray[np.uint64]:
    return np.fromiter(map(item_hash, item_ids), np.uint64)

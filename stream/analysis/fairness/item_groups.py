"""Items parted into groups whose exposure is compared: by age, popularity, supplier, category, price. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.evaluation.fairness import popularity_tiers
from models.items.category_patterns import category_pattern
from stream.analysis.fairness.collected import CatalogueItem
from stream.analysis.fairness.tables import Tables
from stream.errors import UsageError

CATEGORIES_MAX: Final = 12
"""The largest ones have a group of their own."""

SUPPLIERS: Final = ("supplier", "seller", "brand", "publisher", "shop", "author", "artist")
"""Attributes that are looked for, the first that is there counts."""

NOT_KNOWN: Final = "not known"
_PRICE_BANDS: Final = ("cheapest quarter", "second quarter", "third quarter", "dearest quarter")


class ItemGroups(NamedTuple):
    """One way to part n items into g groups."""

    names: tuple[str, ...]
    membership: F4
    """(n, g) how much an item belongs to each group; sums to 1. By age: of items that are not new."""
    published_ms: I8 | None = None
    """(n,) by age: when each was published, -1 = not known; who is new depends on the moment."""
    new_ms: int = 0

    def of(self, item: I8 | I4, time_ms: I8) -> F4:
        """(..., g) membership of items at moments of the same shape."""
        found: F4 = self.membership[item]
        if self.published_ms is not None:
            published_ms = self.published_ms[item]
            found = found.copy()
            found[(published_ms >= 0) & (time_ms - published_ms < self.new_ms)] = np.eye(3, dtype=np.float32)[0]
        return found


def item_groups(
    found: Tables, *, new_ms: int, supplier: str | None, categories: Sequence[str]
) -> dict[str, ItemGroups]:
    """By name; those that the catalogue has a field for.

    Args:
        found: lists and items.
        new_ms: how long after it was published an item is new.
        supplier: attribute that says whose an item is; None: the first of `SUPPLIERS` that the catalogue has.
        categories: patterns of those that are told apart; none: the largest `CATEGORIES_MAX`.

    Raises:
        UsageError: no item has this attribute, or a category that one of the patterns means.
    """
    groups: dict[str, ItemGroups | None] = {
        "age": _by_age(found.items, new_ms),
        "popularity": _coded(("head", "middle", "tail"), popularity_tiers(found.takers).astype(np.int64)),
        "supplier": _by_supplier(found.items, supplier),
        "price": _by_price(found.items),
        "category": _by_category(found.items, categories),
    }
    return {name: each for name, each in groups.items() if each is not None}


def patterns_without_category(items: Iterable[CatalogueItem], patterns: Sequence[str]) -> list[str]:
    """Those that mean no category of these items: misspelt, or of what is not sold now."""
    names = {name for item in items for name in item.categories}
    return [pattern for pattern in patterns if not any(map(category_pattern((pattern,)), names))]


def categories_of(items: Sequence[CatalogueItem | None]) -> tuple[tuple[str, ...], NDArray[np.int32], I8]:
    """All categories in order, and which (row, category) pairs there are: items (m,) and categories (m,)."""
    names = sorted({name for item in items if item is not None for name in item.categories})
    numbers = {name: n for n, name in enumerate(names)}
    pairs = [
        (row, numbers[name])
        for row, item in enumerate(items)
        if item is not None
        for name in dict.fromkeys(item.categories)
    ]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return tuple(names), rows[:, 0].astype(np.int32), rows[:, 1]


def _coded(names: tuple[str, ...], codes: I8) -> ItemGroups:
    return ItemGroups(names, np.eye(len(names), dtype=np.float32)[codes])


def _by_age(items: Sequence[CatalogueItem | None], new_ms: int) -> ItemGroups | None:
    published_ms = np.array([-1 if (i is None or i.published_ms is None) else i.published_ms for i in items], np.int64)
    if not (published_ms >= 0).any():
        return None
    groups = _coded(("new", "old", NOT_KNOWN), np.where(published_ms >= 0, 1, 2))
    return groups._replace(published_ms=published_ms, new_ms=new_ms)


def _by_price(items: Sequence[CatalogueItem | None]) -> ItemGroups | None:
    price = np.array([np.nan if item is None or item.price is None else item.price for item in items], np.float64)
    known = np.isfinite(price)
    if not known.any():
        return None
    bounds = np.quantile(price[known], (0.25, 0.5, 0.75))
    codes = np.where(known, np.searchsorted(bounds, np.where(known, price, 0.0), side="left"), 4)
    return _coded((*_PRICE_BANDS, NOT_KNOWN), codes)


def _by_supplier(items: Sequence[CatalogueItem | None], asked: str | None) -> ItemGroups | None:
    """Large: the fewest suppliers that have half of the items together."""
    there = Counter(name for item in items if item is not None for name in item.attributes)
    if asked is not None and asked not in there:
        names = ", ".join(sorted(there)[:20]) or "none"
        raise UsageError(f"No item has the attribute {asked!r} of --supplier; there are: {names}.", "name one of them")
    name = asked or next((each for each in SUPPLIERS if each in there), None)
    if name is None:
        return None
    owners = [None if item is None else item.attributes.get(name) for item in items]
    sizes = Counter(owner for owner in owners if owner is not None)
    large, held = set(), 0
    for owner, size in sorted(sizes.items(), key=lambda each: (-each[1], each[0])):
        if held * 2 >= sum(sizes.values()):
            break
        large.add(owner)
        held += size
    codes = np.array([2 if owner is None else int(owner not in large) for owner in owners], np.int64)
    return _coded((f"large {name}", f"small {name}", NOT_KNOWN), codes)


def _by_category(items: Sequence[CatalogueItem | None], patterns: Sequence[str]) -> ItemGroups | None:
    """An item of several categories belongs to each in equal shares (Steck 2018, section 3)."""
    names, row, category = categories_of(items)
    if not names and not patterns:
        return None
    sizes = np.bincount(category, minlength=len(names))
    chosen = _meant(names, patterns) if patterns else np.sort(np.argsort(-sizes, kind="stable")[:CATEGORIES_MAX])
    of = np.full(len(names), len(chosen))
    of[chosen] = np.arange(len(chosen))
    membership = np.zeros((len(items), len(chosen) + 2), np.float32)
    np.add.at(membership, (row, of[category]), 1.0)
    total = membership.sum(axis=1, keepdims=True)
    membership[total[:, 0] == 0, -1] = 1.0
    return ItemGroups((*(names[n] for n in chosen.tolist()), "others", NOT_KNOWN), membership / np.maximum(total, 1.0))


def _meant(names: Sequence[str], patterns: Sequence[str]) -> I8:
    found: set[int] = set()
    for pattern in patterns:
        means = category_pattern((pattern,))
        chosen = [n for n, name in enumerate(names) if means(name)]
        if not chosen:
            near = get_close_matches(pattern, names, 1, 0.0)
            raise UsageError(
                f"No category of the catalogue is {pattern!r}, as --categories says.",
                f"name others{f', such as {near[0]!r}' if near else ''}",
            )
        found.update(chosen)
    return np.array(sorted(found), np.int64)

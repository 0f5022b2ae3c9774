"""models/items/categories.py: numbers of categories, and how usual each is among what people take."""

from __future__ import annotations

import numpy as np
import pytest

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.categories import CATEGORIES, CATEGORIES_EACH, ItemCategories, count_engagements, shares_of
from models.items.index import ItemIndex
from models.items.priors import PriorsInTheMaking
from models.items.stats import ItemStatistics


def test_categories_are_numbered_as_they_come_and_each_counts_once():
    categories = ItemCategories()
    categories.put(2, ["b", "a", "b"])
    categories.put(0, ["a"])
    assert len(categories) == 2
    assert categories.of[:, :3].tolist() == [[1, -1, -1], [-1, -1, -1], [0, 1, -1]]
    categories.put(2, ["a"])
    assert categories.of[2, :2].tolist() == [1, -1]


def test_an_item_counts_for_its_first_categories_and_a_catalogue_for_those_that_came_first():
    categories = ItemCategories()
    categories.put(0, [str(n) for n in range(CATEGORIES_EACH + 3)])
    assert categories.of[0].tolist() == list(range(CATEGORIES_EACH))
    for n in range(CATEGORIES + 10):
        categories.put(1, [f"tag {n}"])
    assert len(categories) == CATEGORIES
    categories.put(2, ["too late", "3"])
    assert categories.of[2, :2].tolist() == [3, -1]


def test_items_in_no_category_take_no_memory():
    categories = ItemCategories()
    categories.put(10**6, [])
    assert len(categories.of) == 0


def test_the_catalogue_says_what_its_items_are_in_until_they_are_removed():
    index = ItemIndex()
    catalog = Catalog.empty(index).apply({"x": CatalogItem("x", "t", ("toys",)), "y": CatalogItem("y", "t")})
    at = index.lookup(np.array([item_hash("x")], np.uint64))[0]
    assert catalog.categories.of[at, 0] == 0
    assert catalog.apply({"x": None}).categories.of[at, 0] == -1


def test_shares_are_of_engagements_with_items_that_are_in_any():
    categories = ItemCategories()
    categories.put(0, ["a"])
    categories.put(1, ["a", "b"])
    categories.put(3, ["b"])
    engagements, total = np.zeros(2), np.zeros(1)
    for begin, end in ((0, 2), (2, 9)):
        count_engagements(begin, end, categories.of, np.array([5.0, 2.0, 70.0]), engagements, total)
    assert (engagements.tolist(), total.tolist()) == ([7.0, 2.0], [7.0])
    found = shares_of(engagements, total[0])
    assert found.share.tolist() == [8 / 27, 3 / 27]
    assert found.inverse == pytest.approx([1 / (8 * 19 / 27**2 + 0.01), 1 / (3 * 24 / 27**2 + 0.01)])
    assert found.common == pytest.approx((found.share**2 * found.inverse).sum(), rel=1e-15)


def test_priors_made_by_slices_say_the_same_as_at_once():
    index = ItemIndex()
    items = {str(n): CatalogItem(str(n), "t", ("ab"[n % 2],) if n % 3 else ()) for n in range(30)}
    catalog, stats = Catalog.empty(index).apply(items), ItemStatistics(index, 4)
    at_once = PriorsInTheMaking(catalog, stats, 5, 5, 0).step(30)
    by_slices = PriorsInTheMaking(catalog, stats, 5, 5, 0)
    while (made := by_slices.step(7)) is None:
        pass
    assert made.categories.share.tolist() == at_once.categories.share.tolist() == [1 / 20, 1 / 20]

"""What is asked of the catalogue: filters and searches say what looking at every item says."""

from __future__ import annotations

import asyncio
import random

import msgspec
import numpy as np
import pytest

from models.items.categories import CATEGORIES_EACH
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.serve import shelf as shelf_module
from stream.serve.shelf import Shelf, fits, largest
from stream.settings import load_settings
from stream.worker.tracker import Tracker


class Shop:
    """A catalogue that changes."""

    def __init__(self) -> None:
        self.tracker = Tracker(load_settings(encoder_model="none"), Metrics())
        self.shelf = Shelf(self.tracker.knowledge)

    def put(self, item_id: str, **fields: object) -> None:
        value = msgspec.json.encode({"item_id": item_id, "title": item_id.upper()} | fields)
        self._take(item_id, value)

    def remove(self, item_id: str) -> None:
        self._take(item_id, None)

    def _take(self, item_id: str, value: bytes | None) -> None:
        self.tracker.replicate_items([Replicated(item_id.encode(), value, 0, 0, 0)], 0.0)
        self.shelf.changed([item_id])

    def allowed(self, *categories: str, low: float | None = None, high: float | None = None) -> set[str]:
        found = self.shelf.narrowed(categories, low, high)
        assert found is not None
        return {each for at in np.flatnonzero(found.allowed) if (each := self.tracker.knowledge.catalog.id_of(int(at)))}

    def fitting(self, *categories: str, low: float | None = None, high: float | None = None) -> set[str]:
        catalog = self.tracker.knowledge.catalog
        items = (catalog.item(at) for at in np.flatnonzero(catalog.recommendable).tolist())
        return {each.item_id for each in items if each is not None and fits(each, frozenset(categories), low, high)}

    def search(self, text: str, n: int = 10) -> tuple[list[str], int]:
        found, total = asyncio.run(self.shelf.search(text, n))
        return [each.item_id for each in found], total


@pytest.fixture
def shop() -> Shop:
    made, chance = Shop(), random.Random(3)
    for step in range(300):
        item_id = f"i{chance.randrange(80)}"
        if chance.random() < 0.15:
            made.remove(item_id)
            continue
        several = chance.sample("abcdefghijkl", chance.choice([0, 1, 2, 2, 12]))
        price = chance.choice([None, 0.0, 5.0, 10.0, float(step)])
        made.put(item_id, categories=several, price=price, available=chance.random() < 0.8)
    return made


QUESTIONS = [
    {"categories": ("a",)},
    {"categories": ("b", "l")},
    {"categories": ("nothing",)},
    {"low": 5.0},
    {"high": 5.0},
    {"low": 0.0, "high": 0.0},
    {"categories": ("c", "d"), "low": 5.0, "high": 50.0},
    {"low": 50.0, "high": 5.0},
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_filter_allows_what_fits_through_all_changes_of_the_catalogue(shop: Shop, question):
    categories = question.get("categories", ())
    prices = {name: question[name] for name in ("low", "high") if name in question}
    assert shop.allowed(*categories, **prices) == shop.fitting(*categories, **prices)


def test_items_in_more_categories_than_have_numbers_are_found_by_all_of_them(monkeypatch: pytest.MonkeyPatch):
    shop = Shop()
    shop.put("tagged", categories=[f"tag{n}" for n in range(CATEGORIES_EACH + 3)])
    assert shop.allowed(f"tag{CATEGORIES_EACH + 2}") == {"tagged"}
    monkeypatch.setattr(shelf_module, "CATEGORIES", len(shop.tracker.knowledge.catalog.categories))
    monkeypatch.setattr("models.items.categories.CATEGORIES", shelf_module.CATEGORIES)
    shop.put("late", categories=["has no number"])
    assert shop.allowed("has no number") == {"late"}


def test_a_filter_looks_at_no_item(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    # One by one 200,000 items stopped every request and every list for 60 ms.
    looked_at: list[object] = []
    monkeypatch.setattr(shelf_module, "fits", lambda *asked: looked_at.append(asked))
    monkeypatch.setattr(type(shop.tracker.knowledge.catalog), "item", lambda _, at: looked_at.append(at))
    shop.shelf._in_many.clear()
    shop.shelf.narrowed(("a",), 1.0, 100.0)
    assert looked_at == []


def test_the_same_filter_has_the_same_name_while_the_catalogue_changes(shop: Shop):
    # What leads among what a filter leaves is kept by it, and a live catalogue changes several times a second.
    before = shop.shelf.narrowed(("b", "a"), None, 5.0)
    shop.put("new", categories=["a"], price=1.0)
    after = shop.shelf.narrowed(("a", "b"), None, 5.0)
    assert before is not None
    assert after is not None
    assert before.name == after.name
    assert "new" in shop.allowed("a", "b", high=5.0)


def test_a_search_finds_what_has_all_words_and_counts_it():
    shop = Shop()
    for number in range(30):
        shop.put(f"i{number}", title=f"{'Green' if number % 2 else 'Black'} tea no {number}")
    assert shop.search("TEA green")[1] == 15
    assert shop.search("tea", n=3)[1] == 30
    assert shop.search("i7") == (["i7"], 1)
    assert shop.search("")[1] == 30
    shop.remove("i7")
    shop.put("i8", title="Coffee")
    assert shop.search("i7") == ([], 0)
    assert shop.search("tea")[1] == 28
    assert shop.search("coffee i8") == (["i8"], 1)
    assert Shop().search("tea") == ([], 0)
    assert Shop().search("") == ([], 0)


@pytest.mark.parametrize("n", [1, 2, 5, 50])
def test_the_largest_are_those_that_sorting_says_and_of_equals_the_first(n: int):
    chance = np.random.default_rng(n)
    for values in (chance.integers(0, 4, 20).astype(float), np.zeros(9), np.zeros(0), chance.random(30)):
        assert largest(values, n).tolist() == np.argsort(-values, kind="stable")[:n].tolist()

"""Ids and titles as JSON, kept by number: as the catalogue says now, whatever was asked for before."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from stream.reasons.sentence import title_of
from stream.refresh import words as module
from stream.refresh.words import UNLISTED_MS, Naming, Words


def read(words, number):
    """`(id, title)` as a reader of JSON has them."""
    start, middle, end = words.start[number], words.middle[number], words.end[number]
    written = bytes(words.data[start:end])
    return json.loads(written[: middle - start]), json.loads(b'"%b"' % written[middle - start :])


def hashes_of(ids):
    return np.array([item_hash(each) for each in ids], np.uint64)


def catalogue(*items):
    return Catalog.empty(ItemIndex()).apply({each.item_id: each for each in items})


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_names_are_those_of_the_catalogue_of_that_moment(data):
    words, catalog = Words(), Catalog.empty(ItemIndex())
    ids = [f"i{n}" for n in range(8)]
    names = {item_hash(each): each for each in ids[:6]}  # nobody has a name for the others
    catalog.index.intern(hashes_of(ids[:4]))
    for _ in range(data.draw(st.integers(1, 6))):
        changes = data.draw(
            st.dictionaries(st.sampled_from(ids), st.none() | st.text(max_size=5), max_size=3).map(
                lambda drawn: {
                    i: None if t is None else CatalogItem(i, t, published_at_ms=len(t)) for i, t in drawn.items()
                }
            )
        )
        catalog = catalog.apply(changes)
        words.forget(catalog.index.lookup(hashes_of(changes)))
        words.begin_batch()
        asked = data.draw(st.lists(st.sampled_from(ids), max_size=6))
        numbers = Naming(words, catalog, names.get).numbers(hashes_of(asked))
        for item_id, number in zip(asked, numbers.tolist(), strict=True):
            hashed = item_hash(item_id)
            item = catalog.item(int(catalog.index.lookup(np.array([hashed], np.uint64))[0]))
            name = item_id if item is not None else names.get(hashed, f"hash:{hashed:016x}")
            assert read(words, number) == (name, title_of(name if item is None else item.title))
            assert words.is_item[number] == (item is not None)
            assert words.listed_ms[number] == (UNLISTED_MS if item is None else item.published_at_ms)


def test_a_name_that_comes_later_is_used_from_the_next_batch_on():
    words, catalog, names = Words(), catalogue(), {}
    hashes = hashes_of(["later"])
    for known in ("hash:", "later"):
        words.begin_batch()
        (number,) = words.numbers(hashes, catalog, names.get)
        assert read(words, number)[0].startswith(known)
        names[int(hashes[0])] = "later"


def test_the_same_title_has_the_same_number():
    words = Words()
    catalog = catalogue(CatalogItem("a", "One"), CatalogItem("b", "One"), CatalogItem("c", "Two"))
    numbers = words.numbers(hashes_of("abc"), catalog, str)
    one, same, other = words.title[numbers]
    assert one == same != other


def test_what_changes_all_the_time_does_not_grow_for_ever(monkeypatch):
    monkeypatch.setattr(module, "GARBAGE_BYTES", 1000)
    words, catalog = Words(), catalogue()
    for n in range(500):
        catalog = catalog.apply({"a": CatalogItem("a", f"Title number {n}")})
        words.forget(catalog.index.lookup(hashes_of("a")))
        words.begin_batch()
        (number,) = words.numbers(hashes_of("a"), catalog, str)
        assert read(words, number) == ("a", f"Title number {n}")
    assert words._end < 5000

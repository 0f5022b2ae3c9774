"""models/items/catalog.py"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex


def _item(item_id, *, available=True, title="t"):
    return CatalogItem(item_id, title, available=available)


def _row(catalog, item_id):
    return int(catalog.index.lookup(np.array([item_hash(item_id)], np.uint64))[0])


def test_an_empty_catalogue_recommends_nothing():
    catalog = Catalog.empty(ItemIndex())
    assert (catalog.version, catalog.size) == (0, 0)
    assert catalog.is_recommendable([0, -1, 7]).tolist() == [False, False, False]
    assert catalog.item(0) is None
    assert catalog.item(-1) is None


def test_its_ids_are_those_of_the_items_that_are_there_available_or_not():
    catalog = Catalog.empty(ItemIndex()).apply({"a": _item("a"), "b": _item("b", available=False), "c": _item("c")})
    assert sorted(catalog.apply({"c": None}).item_ids()) == ["a", "b"]


def test_an_item_is_found_by_its_index():
    catalog = Catalog.empty(ItemIndex()).apply({"a": _item("a"), "b": _item("b", available=False)})
    assert (catalog.version, catalog.size) == (1, 2)
    assert catalog.item(_row(catalog, "b")) == _item("b", available=False)
    assert catalog.id_of(_row(catalog, "a")) == "a"
    assert catalog.recommendable.tolist() == [True, False]


def test_a_removed_item_is_gone_and_its_index_stays_taken():
    before = Catalog.empty(ItemIndex()).apply({"a": _item("a"), "b": _item("b")})
    after = before.apply({"a": None, "never there": None})
    assert after.size == 1
    assert after.item(0) is None
    assert after.id_of(0) is None
    assert not after.is_recommendable(0)
    assert after.apply({"c": _item("c")}).id_of(2) == "c"
    assert len(after.index) == 3


def test_an_old_snapshot_does_not_change():
    old = Catalog.empty(ItemIndex()).apply({"a": _item("a", title="old"), "b": _item("b")})
    new = old.apply({"a": _item("a", title="new", available=False), "b": None, "c": _item("c")})
    assert old.item(0) == _item("a", title="old")
    assert old.recommendable.tolist() == [True, True]
    assert (old.version, old.size) == (1, 2)
    assert new.item(0) == _item("a", title="new", available=False)
    assert new.recommendable.tolist() == [False, False, True]


def test_the_recommendable_mask_cannot_be_written():
    catalog = Catalog.empty(ItemIndex()).apply({"a": _item("a")})
    with pytest.raises(ValueError, match="read-only"):
        catalog.recommendable[0] = False


def test_items_that_only_events_named_are_not_recommendable():
    index = ItemIndex()
    catalog = Catalog.empty(index)
    index.intern(np.array([5, 6, 7], np.uint64))
    catalog = catalog.apply({"a": _item("a")})
    index.intern(np.array([8], np.uint64))
    assert catalog.is_recommendable([[0, 3], [4, -1]]).tolist() == [[False, True], [False, False]]
    assert catalog.item(0) is None
    assert catalog.size == 1


def test_an_item_under_a_foreign_id_is_refused_and_changes_nothing():
    index = ItemIndex()
    with pytest.raises(ValueError, match="'b' stands under the id 'a'"):
        Catalog.empty(index).apply({"a": _item("b")})
    assert len(index) == 0


def test_unchanged_pages_are_shared_between_snapshots():
    many = {f"i{n}": _item(f"i{n}") for n in range(2000)}
    old = Catalog.empty(ItemIndex()).apply(many)
    new = old.apply({"i0": None})
    same = [a is b for a, b in zip(old._pages, new._pages, strict=True)]
    assert same == [False, True, True, True]


changes = st.dictionaries(st.sampled_from([f"i{n}" for n in range(12)]), st.sampled_from([None, True, False]))


@settings(deadline=None)
@given(st.lists(changes, max_size=8))
def test_every_snapshot_agrees_with_a_dict(steps):
    catalog, oracle = Catalog.empty(ItemIndex()), {}
    kept = [(catalog, {})]
    for step in steps:
        items = {k: None if v is None else _item(k, available=v) for k, v in step.items()}
        catalog = catalog.apply(items)
        oracle = {k: v for k, v in {**oracle, **items}.items() if v is not None}
        kept.append((catalog, oracle))
    for version, (snapshot, expected) in enumerate(kept):
        found = [snapshot.item(n) for n in range(len(snapshot.index))]
        assert {item.item_id: item for item in found if item} == expected
        assert (snapshot.version, snapshot.size) == (version, len(expected))
        allowed = snapshot.is_recommendable(np.arange(len(snapshot.index)))
        assert allowed.tolist() == [item is not None and item.available for item in found]

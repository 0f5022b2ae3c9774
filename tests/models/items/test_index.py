"""models/items/index.py"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hashing import NO_ITEM, item_hash
from models.items.index import NO_INDEX, ItemIndex

SPREAD = 0x9E3779B97F4A7C15
few_hashes = st.one_of(st.integers(0, 30), st.integers(0, 2**64 - 1))


def _u64(values):
    return np.array(values, dtype=np.uint64)


def test_items_are_numbered_in_the_order_of_first_sight_also_within_one_call():
    index = ItemIndex()
    assert index.intern(_u64([9, 4, 9, 7])).tolist() == [0, 1, 0, 2]
    assert index.intern(_u64([7, 1, 4])).tolist() == [2, 3, 1]
    assert len(index) == 4


def test_no_item_is_never_numbered():
    index = ItemIndex()
    assert index.intern(_u64([NO_ITEM, 5, NO_ITEM])).tolist() == [NO_INDEX, 0, NO_INDEX]
    assert len(index) == 1


def test_lookup_keeps_the_shape_and_adds_nothing():
    index = ItemIndex()
    index.intern(_u64([5, 6]))
    found = index.lookup(_u64([[6, 0, 5], [8, 6, 6]]))
    assert found.tolist() == [[1, -1, 0], [-1, 1, 1]]
    assert found.dtype == np.int32
    assert len(index) == 2
    assert index.lookup(np.uint64(6)).shape == ()
    assert index.lookup(_u64([])).shape == (0,)


def test_hash_of_undoes_intern_and_pads_stay_pads():
    index = ItemIndex()
    index.intern(_u64([2**64 - 1, 3]))
    assert index.hash_of([[0, -1], [1, 0]]).tolist() == [[2**64 - 1, 0], [3, 2**64 - 1]]


def test_hash_of_refuses_an_index_that_was_never_given_out():
    index = ItemIndex()
    assert index.hash_of([-1]).tolist() == [NO_ITEM]
    with pytest.raises(IndexError):
        index.hash_of([0])
    index.intern(_u64([3]))
    with pytest.raises(IndexError):
        index.hash_of([1])


def test_growing_past_every_capacity_keeps_all_numbers():
    index = ItemIndex()
    hashes = _u64([item_hash(f"item-{n}") for n in range(5000)])
    for start in range(0, 5000, 37):
        index.intern(hashes[start : start + 37])
    assert index.lookup(hashes).tolist() == list(range(5000))
    assert (index.hash_of(np.arange(5000)) == hashes).all()


def test_hashes_that_all_start_at_one_slot_are_all_found():
    undo_spread = pow(SPREAD, -1, 2**64)
    hashes = _u64([n * undo_spread % 2**64 for n in range(1, 401)])
    index = ItemIndex()
    assert {each * SPREAD % 2**64 >> 64 - index._table.bits for each in hashes.tolist()} == {0}
    assert index.intern(hashes).tolist() == list(range(400))
    assert index.lookup(_u64([401 * undo_spread % 2**64])).tolist() == [NO_INDEX]


@settings(deadline=None)
@given(st.lists(st.lists(few_hashes, max_size=400), max_size=8), st.lists(few_hashes, max_size=50))
def test_it_agrees_with_a_dict(batches, asked):
    index, oracle = ItemIndex(), {}
    for batch in batches:
        expected = [oracle.setdefault(h, len(oracle)) if h else NO_INDEX for h in batch]
        assert index.intern(_u64(batch)).tolist() == expected
    assert len(index) == len(oracle)
    assert index.lookup(_u64(asked)).tolist() == [oracle.get(h, NO_INDEX) for h in asked]
    assert index.hash_of(np.arange(len(oracle))).tolist() == list(oracle)


def test_items_are_found_while_a_table_that_was_too_small_is_left_behind():
    rng = np.random.default_rng(3)
    hashes = rng.integers(1, 2**64, 20_000, dtype=np.uint64)
    index, were_moving = ItemIndex(), 0
    for end in range(50, 20_001, 50):
        index.intern(hashes[end - 50 : end])
        were_moving += index._before.hashes.size > 0
        some = rng.integers(0, end, 20)
        assert index.lookup(hashes[some]).tolist() == some.tolist()
        assert index.lookup(hashes[end : end + 5]).tolist() == [NO_INDEX] * len(hashes[end : end + 5])
    assert were_moving > 5
    assert index.lookup(hashes).tolist() == list(range(20_000))

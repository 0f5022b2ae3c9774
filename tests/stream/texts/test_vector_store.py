"""Vectors on disk: a restart finds them, another model does not."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoder.text import text_hash
from stream.storage.rocks import DataDirectory
from stream.texts.last_used import LastUsed
from stream.texts.vector_store import VectorStore

HASHES = [text_hash(f"text {i}") for i in range(5)]
ROWS = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)

day = [1000]


@pytest.fixture
def open_store(tmp_path):
    """Opens the same directory again and again, as restarts do."""
    opened = []
    day[0] = 1000

    def opening():
        for stores, directory in opened:
            stores.close_all()
            directory.close()
        opened.clear()
        directory = DataDirectory(tmp_path / "data", 1 << 20, 1 << 20)
        stores = directory.stores("vectors")
        opened.append((stores, directory))
        return VectorStore(stores[0], LastUsed(90, lambda: day[0]))

    yield opening
    for stores, directory in opened:
        stores.close_all()
        directory.close()


def test_a_restart_finds_every_vector_at_half_precision(open_store):
    open_store().put(HASHES[:4], ROWS[:4], "model-1")
    vectors, found = open_store().get(HASHES, "model-1", 8)
    assert found.tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(vectors[:4], ROWS[:4].astype(np.float16))
    assert not vectors[4].any()


def test_two_models_lie_side_by_side_and_the_old_one_can_be_forgotten(open_store):
    store = open_store()
    store.put(HASHES, ROWS, "old")
    store.put(HASHES[:2], ROWS[:2, :4], "new")
    assert store.get(HASHES, "new", 4)[1].tolist() == [True, True, False, False, False]
    assert store.forget_others("new") == 5
    assert not store.get(HASHES, "old", 8)[1].any()
    np.testing.assert_array_equal(store.get(HASHES[:2], "new", 4)[0], ROWS[:2, :4].astype(np.float16))


def test_a_vector_of_another_size_is_not_taken_for_one(open_store):
    store = open_store()
    store.put(HASHES[:1], ROWS[:1], "model")
    assert store.get(HASHES[:1], "model", 7)[1].tolist() == [False]


def test_nothing_is_nothing(open_store):
    store = open_store()
    store.put([], np.zeros((0, 8)), "model")
    vectors, found = store.get([], "model", 8)
    assert (vectors.shape, found.shape) == ((0, 8), (0,))
    assert store.forget_others("model") == 0


async def test_what_was_of_no_use_for_long_is_forgotten_and_what_was_read_meanwhile_is_not(open_store):
    store = open_store()
    store.put(HASHES, ROWS, "model")
    store.put(HASHES, ROWS, "other")
    day[0] += 60
    store.get(HASHES[:2], "model", 8)
    day[0] += 60
    assert await store.forget_unused("model", 8) == 3
    assert store.get(HASHES, "model", 8)[1].tolist() == [True, True, False, False, False]
    assert store.get(HASHES, "other", 8)[1].all()


async def test_a_vector_of_an_earlier_release_is_found_and_stays_from_then_on(open_store):
    store = open_store()
    store.put(HASHES[:2], ROWS[:2], "model")
    undated = [(key, value[:16]) for key, value in store._store.items()]
    store._store.write(undated, None)
    vectors, found = store.get(HASHES[:1], "model", 8)
    assert found.all()
    np.testing.assert_array_equal(vectors, ROWS[:1].astype(np.float16))
    assert await store.forget_unused("model", 8) == 1
    assert store.get(HASHES[:2], "model", 8)[1].tolist() == [True, False]


def test_a_day_in_the_future_is_a_wrong_clock_s_and_is_mended():
    used = LastUsed(90, lambda: 1000)
    assert not used.is_over((1500).to_bytes(2, "little"))
    assert used.is_old((1500).to_bytes(2, "little"))
    assert used.is_old((970).to_bytes(2, "little"))
    assert not used.is_old((980).to_bytes(2, "little"))
    assert used.is_over((909).to_bytes(2, "little"))
    assert not LastUsed(0, lambda: 1000).is_over((1).to_bytes(2, "little"))

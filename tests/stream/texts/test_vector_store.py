"""Vectors on disk: a restart finds them, another model does not."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoder.text import text_hash
from stream.storage.rocks import DataDirectory
from stream.texts.vector_store import VectorStore

HASHES = [text_hash(f"text {i}") for i in range(5)]
ROWS = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


@pytest.fixture
def open_store(tmp_path):
    """Opens the same directory again and again, as restarts do."""
    opened = []

    def opening():
        for stores, directory in opened:
            stores.close_all()
            directory.close()
        opened.clear()
        directory = DataDirectory(tmp_path / "data", 1 << 20, 1 << 20)
        stores = directory.stores("vectors")
        opened.append((stores, directory))
        return VectorStore(stores[0])

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

"""Which items are near to each: what a search finds, also of what came later, and bounded work at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.items.near import MEETING, NO_LIMIT, WIDTH
from models.items.vectors import ItemVectors

DIMS = 8


def rows_of(rng, n):
    rows = rng.normal(size=(n, DIMS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vectors_of(n, seed=0, approximate_from=100_000):
    vectors = ItemVectors("m", DIMS, approximate_from)
    vectors.put(np.arange(n, dtype=np.int32), rows_of(np.random.default_rng(seed), n))
    return vectors


def nearest(vectors, item):
    """Dense indices from the nearest, and cosines."""
    rows = vectors.centred_rows()
    found = rows @ rows[item]
    has = vectors.has(np.arange(len(rows), dtype=np.int32))
    order = np.argsort(-np.where(has, found, -np.inf), kind="stable")[: min(WIDTH, has.sum())]
    return order, found


def assert_is_what_a_search_finds(vectors, item):
    order, cosines = nearest(vectors, item)
    row, kept = vectors.near.items[item], vectors.near.cosines[item]
    filled = row >= 0
    assert filled.sum() == len(order)
    np.testing.assert_allclose(np.sort(kept[filled])[::-1], cosines[order], atol=1e-5)
    np.testing.assert_allclose(kept[filled], cosines[row[filled]], atol=1e-5)


def test_a_row_holds_the_nearest_items():
    vectors = vectors_of(200)
    vectors.near.make(np.arange(0, 200, 7), vectors)
    for item in range(0, 200, 7):
        assert_is_what_a_search_finds(vectors, item)


def test_few_items_leave_room():
    vectors = vectors_of(3)
    vectors.near.make(np.array([1]), vectors)
    assert sorted(vectors.near.items[1].tolist()) == [-1] * (WIDTH - 3) + [0, 1, 2]


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_newcomers_and_new_vectors_enter_the_rows_that_are_there(seed, times):
    rng = np.random.default_rng(seed)
    vectors = vectors_of(4000, seed)  # a hundredth is more than comes here
    asked = rng.permutation(4000)[:20]
    vectors.near.make(asked, vectors)
    generation = vectors.near._generation
    for _ in range(times):
        new = np.unique(np.append(rng.integers(0, 4000, 2), 4000 + rng.integers(0, 3))).astype(np.int32)
        vectors.put(new, rows_of(rng, len(new)))
    assert vectors.near._generation == generation
    vectors.near.make(asked, vectors)
    for item in asked:
        order, cosines = nearest(vectors, item)
        row = vectors.near.items[item]
        filled = row >= 0
        # Those whose vector changed for a worse one may have left room that nothing but a search fills.
        assert len(set(row[filled].tolist())) == filled.sum()
        np.testing.assert_allclose(vectors.near.cosines[item][filled], cosines[row[filled]], atol=1e-5)
        assert len(set(order[: WIDTH // 2].tolist()) - set(row.tolist())) == 0


def test_what_is_gone_is_near_to_nothing():
    vectors = vectors_of(500)
    vectors.near.make(np.arange(5), vectors)
    gone = vectors.near.items[0][:2].copy()
    vectors.remove(gone)
    vectors.near.make(np.arange(5), vectors)
    at = np.isin(vectors.near.items[0], gone)
    assert not vectors.near.cosines[0][at].any()


def test_only_so_many_rows_are_made_at_once_those_without_one_first():
    vectors = vectors_of(100)
    vectors.near.make(np.arange(10), vectors, 400)
    made = (vectors.near.items[:10] >= 0).any(axis=1)
    assert made.tolist() == [True] * 4 + [False] * 6
    vectors.near.begin_again()
    vectors.near.make(np.arange(10), vectors, 400)
    assert (vectors.near.items[:10] >= 0).any(axis=1).sum() == 8


def test_old_rows_are_used_and_made_again():
    vectors = vectors_of(100)
    vectors.near.make(np.arange(10), vectors)
    before = vectors.near.items[3].copy()
    vectors.put(np.arange(100, 150, dtype=np.int32), rows_of(np.random.default_rng(9), 50))
    assert (vectors.near.items[3] == before).all()
    vectors.near.make(np.arange(10), vectors, NO_LIMIT)
    assert_is_what_a_search_finds(vectors, 3)


def test_a_text_that_is_no_item_is_searched_once():
    vectors = vectors_of(200)
    texts = vectors.centred_rows()[:2].copy()
    found = vectors.near.of_others(texts, vectors)
    vectors.near.make(np.arange(2), vectors)
    assert [set(row) for row in found.items.tolist()] == [set(row) for row in vectors.near.items[:2].tolist()]
    assert len(vectors.near._others) == 2
    vectors.near.of_others(texts[:1], vectors)
    assert len(vectors.near._others) == 2
    assert vectors.near.of_others(texts[:0], vectors).items.shape == (0, WIDTH)


def test_of_many_items_a_graph_or_the_matrix_is_asked():
    vectors = vectors_of(300, approximate_from=100)
    assert vectors.centred_rows() is None
    vectors.near.make(np.arange(10), vectors)
    assert (vectors.near.items[:10] == np.arange(10)[:, None]).any(axis=1).all()  # each is near to itself


def test_a_catalogue_that_turns_over_keeps_no_record_of_all_who_ever_came():
    vectors, rng = vectors_of(1000), np.random.default_rng(1)
    vectors.near.make(np.arange(5), vectors)
    for n in range(200):
        gone, new = np.arange(10 * n, 10 * n + 10), np.arange(1000 + 10 * n, 1010 + 10 * n)
        vectors.put(new.astype(np.int32), rows_of(rng, 10))
        vectors.remove(gone.astype(np.int32))
        assert len(vectors.near._newcomers) <= 1000 // 100 + 20
    has = np.flatnonzero(vectors.has(np.arange(4000, dtype=np.int32)))
    mean = vectors.get(has.astype(np.int32)).mean(axis=0)
    assert np.abs(vectors.mean - mean).max() < 0.02


def test_so_do_vectors_that_change_again_and_again():
    vectors, rng = vectors_of(1000), np.random.default_rng(1)
    for _ in range(100):
        vectors.put(np.arange(7, dtype=np.int32), rows_of(rng, 7))
        assert len(vectors.near._newcomers) <= 1000 // 100 + 7
    whole = vectors.get(np.arange(1000, dtype=np.int32)).sum(axis=0, dtype=np.float64)
    assert (vectors._sum == whole).all()


def test_only_so_many_rows_meet_newcomers_at_once():
    vectors, rng = vectors_of(1000), np.random.default_rng(2)
    vectors.near.make(np.arange(20), vectors)
    vectors.put(np.arange(1000, 1005, dtype=np.int32), rows_of(rng, 5))
    for n in range(1, 5):
        vectors.near.make(np.arange(20), vectors, MEETING * 5 * 5)
        assert (vectors.near._met[:20] == 5).tolist() == [True] * 5 * n + [False] * (20 - 5 * n)
    for item in range(20):
        assert_is_what_a_search_finds(vectors, item)


def test_only_so_many_texts_are_searched_at_once_and_each_once():
    vectors = vectors_of(100)
    texts = rows_of(np.random.default_rng(3), 12)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0]]
    found = [(vectors.near.of_others(texts, vectors, 400).items >= 0).any(axis=1) for _ in range(3)]
    assert [each[:12].tolist() for each in found] == [[True] * 4 * n + [False] * (12 - 4 * n) for n in (1, 2, 3)]
    assert found[0].tolist()[12:] == [True] * 2


def test_what_a_text_was_near_to_serves_until_there_is_room_to_ask_again():
    vectors = vectors_of(1000)
    texts = vectors.centred_rows()[:3].copy()
    before = vectors.near.of_others(texts, vectors)
    vectors.put(np.array([1000], np.int32), vectors.get(np.arange(1, dtype=np.int32)))  # as near to the first as can be
    new = np.concatenate((rows_of(np.random.default_rng(4), 1), texts))
    found = vectors.near.of_others(new, vectors, 1)
    assert found.items[1:].tolist() == before.items.tolist()
    assert (found.items[0] >= 0).all()
    assert 1000 in vectors.near.of_others(new, vectors, 1).items[1]

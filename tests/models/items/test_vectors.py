"""Vectors of the catalogue: the nearest items are the nearest items, and two models never meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.items.vectors import ItemVectors, VectorSpaces, centred


def unit(rng, n, dims=16):
    rows = rng.standard_normal((n, dims)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def filled(rng, n, dims=16, **options):
    vectors = ItemVectors("model", dims, **options)
    indices = rng.permutation(2 * n)[:n].astype(np.int32)
    rows = unit(rng, n, dims)
    vectors.put(indices, rows)
    return vectors, indices, rows


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 12))
def test_the_nearest_are_those_that_a_full_sort_gives(seed, n, k):
    rng = np.random.default_rng(seed)
    vectors, indices, rows = filled(rng, n)
    allowed = rng.random(2 * n) < 0.7
    queries = unit(rng, 3)
    found = vectors.nearest(queries, k, allowed)
    for user in range(3):
        scores = {int(i): float(queries[user] @ row.astype(np.float16).astype(np.float32)) for i, row in
                  zip(indices, rows, strict=True) if allowed[i]}  # fmt: skip
        best = sorted(scores.values(), reverse=True)[:k]
        np.testing.assert_allclose(found.scores[user, : len(best)], best, atol=1e-5)
        assert (found.items[user, len(best) :] == -1).all()
        for item, score in zip(found.items[user, : len(best)].tolist(), found.scores[user].tolist(), strict=False):
            assert scores[item] == pytest.approx(score, abs=1e-5)


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(1)
    vectors, _, _ = filled(rng, 500)
    queries, allowed = unit(rng, 7), np.ones(1000, bool)
    whole = vectors.nearest(queries, 10, allowed)
    monkeypatch.setattr("models.items.vectors._BLOCK", 64)
    cut = vectors.nearest(queries, 10, allowed)
    np.testing.assert_array_equal(whole.items, cut.items)
    np.testing.assert_allclose(whole.scores, cut.scores, atol=1e-6)


def test_a_query_without_direction_gets_nothing_and_an_empty_catalogue_nobody_anything():
    vectors, _, _ = filled(np.random.default_rng(0), 5)
    assert (vectors.nearest(np.zeros((2, 16), np.float32), 3, np.ones(10, bool)).items == -1).all()
    assert (ItemVectors("m", 16).nearest(np.ones((1, 16), np.float32), 3, np.ones(10, bool)).items == -1).all()


def test_replaced_and_removed_vectors_are_gone():
    rng = np.random.default_rng(0)
    vectors = ItemVectors("m", 16)
    rows = unit(rng, 3)
    vectors.put(np.array([4, 0, 9], np.int32), rows)
    vectors.put(np.array([4], np.int32), rows[2:])
    vectors.remove(np.array([9, 77, -1], np.int32))
    assert vectors.size == 2
    assert vectors.has(np.array([[4, 9], [-1, 100]], np.int32)).tolist() == [[True, False], [False, False]]
    np.testing.assert_allclose(
        vectors.get(np.array([4, 9, -1], np.int32)), [rows[2], rows[0] * 0, rows[0] * 0], atol=1e-3
    )
    assert vectors.nearest(rows[2:], 1, np.ones(10, bool)).items.tolist() == [[4]]


@pytest.mark.parametrize(
    ("indices", "shape"), [([0, 0], (2, 16)), ([-1, 2], (2, 16)), ([0, 1], (2, 15)), ([0, 1], (1, 16))]
)
def test_what_makes_no_sense_is_refused(indices, shape):
    with pytest.raises(ValueError, match=r"dimensions|distinct"):
        ItemVectors("m", 16).put(np.array(indices, np.int32), np.zeros(shape, np.float32))


def test_beyond_the_bound_the_graph_finds_nearly_all_and_its_scores_are_exact():
    pytest.importorskip("usearch")
    rng = np.random.default_rng(0)
    n = 3000
    centres = unit(rng, 60, 32)  # catalogues have topics; uniform noise has no neighbours worth the name
    rows = centres[rng.integers(0, 60, n)] + 0.4 * unit(rng, n, 32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact, near = ItemVectors("m", 32), ItemVectors("m", 32, approximate_from=1000)
    queries = rows[rng.integers(0, n, 50)]
    allowed = rng.random(n) < 0.9
    for vectors in (exact, near):
        vectors.put(np.arange(2000, dtype=np.int32), rows[:2000])
        while vectors.index_some(300):
            pass
        vectors.nearest(queries, 10, allowed)
        vectors.put(np.arange(1500, n, dtype=np.int32), rows[1500:])
        vectors.remove(np.arange(100, dtype=np.int32))
    assert exact.index_some(10) == 0
    assert near.index_some(1000) == 500  # the others answer exactly until they are in
    assert near._pending() == 500
    want, have = exact.nearest(queries, 10, allowed), near.nearest(queries, 10, allowed)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(want.items.tolist(), have.items.tolist(), strict=True)])
    assert recall > 0.95
    assert not np.isin(have.items, np.flatnonzero(~allowed)).any()
    assert have.items.min() >= 100
    got = np.einsum("ud,ukd->uk", queries, near.get(have.items))
    np.testing.assert_allclose(have.scores, got, atol=1e-5)


def test_a_user_whose_neighbourhood_is_withdrawn_is_answered_exactly():
    pytest.importorskip("usearch")
    rng = np.random.default_rng(0)
    vectors = ItemVectors("m", 16, approximate_from=100)
    rows = unit(rng, 500)
    vectors.put(np.arange(500, dtype=np.int32), rows)
    assert vectors.index_some(500) == 0
    query = rows[:1]
    allowed = np.zeros(500, bool)
    allowed[np.argsort(query[0] @ rows.T)[:5]] = True  # the farthest only
    assert set(vectors.nearest(query, 5, allowed).items[0].tolist()) == set(np.flatnonzero(allowed).tolist())


def test_a_new_model_serves_only_once_every_item_has_its_new_vector():
    old, new = ItemVectors("old", 16), ItemVectors("new", 8)
    rng = np.random.default_rng(0)
    old.put(np.arange(3, dtype=np.int32), unit(rng, 3))
    spaces = VectorSpaces(old)
    wanted = np.ones(4, bool)
    assert not spaces.swap_if_complete(wanted)
    spaces.begin(new)
    new.put(np.array([0, 1], np.int32), unit(rng, 2, 8))
    assert not spaces.swap_if_complete(wanted)
    assert spaces.serving is old
    new.put(np.array([2], np.int32), unit(rng, 1, 8))
    assert spaces.swap_if_complete(wanted)  # item 3 has no vector in either
    assert (spaces.serving, spaces.coming) == (new, None)
    with pytest.raises(ValueError, match="serves already"):
        spaces.begin(ItemVectors("new", 8))


def test_what_is_kept_ready_is_what_centring_gives_however_vectors_come_and_go():
    rng = np.random.default_rng(0)
    items = ItemVectors("m", 8)
    for step in range(40):
        indices = rng.choice(600, int(rng.integers(1, 60)), replace=False).astype(np.int32)
        if step % 4 == 3:
            items.remove(indices)
        else:
            vectors = rng.normal(size=(indices.size, 8)) + 1.0
            items.put(indices, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        ready = items.centred_rows()
        every = np.arange(len(ready), dtype=np.int32)
        assert np.allclose(ready, centred(items.get(every), items.mean), atol=1e-6)

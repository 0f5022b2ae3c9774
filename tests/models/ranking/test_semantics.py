"""Interests by text of a batch: candidates near to each interest, features and contributions as by whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.items.near import WIDTH
from models.items.vectors import ItemVectors, centred
from models.ranking.place_vectors import NO_VECTOR, PastTexts, past_of_items
from models.ranking.semantics import RECENT_DECAY, RECENT_PLACES, InterestParams, semantics

N, DIMS, USERS, WIDTH_OF_HISTORY = 300, 12, 3, 10
PARAMS = InterestParams(points=4, candidates=20, half_lives_s=(3600.0, 360_000.0))
EVERYTHING = np.ones(N, np.bool_)


def world(seed, approximate_from=100_000):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(N, DIMS)).astype(np.float32) + 0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = ItemVectors("m", DIMS, approximate_from)
    there = np.sort(rng.permutation(N)[: N - 20]).astype(np.int32)
    vectors.put(there, rows[there])
    history = np.stack([rng.permutation(N)[:WIDTH_OF_HISTORY] for _ in range(USERS)]).astype(np.int32)
    history[0, -1] = -1
    gains = rng.choice([0.2, 1.0, 4.0, -2.0, 0.0], history.shape, p=[0.3, 0.3, 0.2, 0.1, 0.1])
    ages = np.sort(rng.random(history.shape) * 1e6, axis=1)
    past = past_of_items(history, vectors)
    searched = rng.normal(size=(1, DIMS)).astype(np.float32)
    past.row[1, 2] = -2
    return vectors, past._replace(others=searched / np.linalg.norm(searched)), gains, ages


def own_vectors(past, vectors):
    """(u, H, dims) centred, zeros where there is none."""
    of_items = vectors.get(np.maximum(past.row, -1).astype(np.int32))
    raw = np.where((past.row < NO_VECTOR)[:, :, None], past.others[0], of_items)
    return centred(raw, vectors.mean)


@given(st.integers(0, 10_000))
def test_features_and_contributions_are_those_of_whole_arrays(seed):
    vectors, past, gains, ages = world(seed)
    found = semantics(past, gains, ages, vectors, EVERYTHING, PARAMS)
    own = own_vectors(past, vectors)
    recent = np.where(own.any(axis=2), gains, 0.0) * np.where(
        np.arange(WIDTH_OF_HISTORY) < RECENT_PLACES, RECENT_DECAY ** np.arange(WIDTH_OF_HISTORY), 0.0
    )
    recent /= np.maximum(np.abs(recent).sum(axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(found.recent, recent, atol=1e-12)
    items = np.tile(np.arange(40, dtype=np.int32), (USERS, 1))
    of_items = centred(vectors.get(items), vectors.mean)
    scores = found.scores(np.arange(USERS + 1) * 40, items.ravel()).reshape(USERS, 40, 2)
    np.testing.assert_allclose(scores[:, :, 1], np.einsum("uh,uhd,ukd->uk", recent, own, of_items), atol=1e-5)
    shares = found.contributions(items, np.tile((2.0, 0.5), (USERS, 1)))
    np.testing.assert_allclose(shares.sum(axis=2), scores @ (2.0, 0.5), atol=1e-5)


@given(st.integers(0, 10_000))
def test_candidates_are_near_to_an_interest_allowed_and_the_same_whoever_else_asks(seed):
    vectors, past, gains, ages = world(seed)
    allowed = np.random.default_rng(seed).random(N) < 0.8
    found = semantics(past, gains, ages, vectors, allowed, PARAMS)
    rows, own = vectors.centred_rows(), own_vectors(past, vectors)
    for u in range(USERS):
        mine = found.candidates[u][found.candidates[u] >= 0]
        assert len(set(mine.tolist())) == len(mine)
        assert allowed[mine].all()
        assert vectors.has(mine).all()
        medoid, weight = found.graph.medoid[u], found.graph.weight[u]
        sources = found.recent[u].copy()
        sources[medoid[medoid >= 0]] += weight[medoid >= 0]
        cosines = own[u] @ rows.T
        near = np.zeros((WIDTH_OF_HISTORY, len(rows)), np.bool_)
        usable = vectors.has(np.arange(len(rows), dtype=np.int32))
        for q in np.flatnonzero((sources > 0) & own[u].any(axis=1)):
            near[q, np.argsort(-np.where(usable, cosines[q], -np.inf), kind="stable")[:WIDTH]] = True
        assert near.any(axis=0)[mine].all()
        sums = (np.maximum(sources, 0.0)[:, None] * np.where(near, cosines, 0.0)).sum(axis=0)
        others = np.setdiff1d(np.flatnonzero(near.any(axis=0)[:N] & allowed), mine)
        if len(others) and len(mine):
            assert sums[mine].min() >= sums[others].max() - 1e-5
        alone = semantics(past.take(slice(u, u + 1)), gains[u : u + 1], ages[u : u + 1], vectors, allowed, PARAMS)
        assert alone.candidates[0].tolist() == found.candidates[u].tolist()
        assert (alone.wanted[0] == found.wanted[u]).all()


def test_a_catalogue_too_large_to_be_kept_ready_says_the_same():
    vectors, past, gains, ages = world(3)
    large, _, _, _ = world(3, approximate_from=100)
    few, many = (semantics(past, gains, ages, each, EVERYTHING, PARAMS) for each in (vectors, large))
    items = np.tile(np.arange(-1, 30, dtype=np.int32), (USERS, 1))
    weights = np.tile((2.0, 0.5), (USERS, 1))
    np.testing.assert_allclose(many.contributions(items, weights), few.contributions(items, weights), atol=1e-5)
    start = np.arange(USERS + 1) * 31
    np.testing.assert_allclose(many.scores(start, items.ravel()), few.scores(start, items.ravel()), atol=1e-5)


def test_what_is_disliked_proposes_nothing():
    vectors, past, gains, ages = world(5)
    found = semantics(past, -np.abs(gains), ages, vectors, EVERYTHING, PARAMS)
    assert (found.candidates == -1).all()


def test_what_found_no_room_proposes_nothing_and_has_its_turn_later():
    vectors, past, gains, ages = world(6)
    gains = np.abs(gains) + 0.1
    least = [semantics(past, gains, ages, vectors, EVERYTHING, PARAMS, 1).candidates for _ in range(40)]
    assert (least[0] >= 0).sum() < (least[-1] >= 0).sum()
    whole = semantics(past, gains, ages, vectors, EVERYTHING, PARAMS).candidates
    assert np.sort(least[-1]).tolist() == np.sort(whole).tolist()


def test_nobody_has_no_interests():
    vectors, *_ = world(1)
    nobody = PastTexts(np.zeros((0, 4), np.int64), np.zeros((0, DIMS), np.float32))
    found = semantics(nobody, np.zeros((0, 4)), np.zeros((0, 4)), vectors, EVERYTHING, PARAMS)
    assert found.candidates.shape == (0, PARAMS.candidates)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_vector_that_is_what_all_have_in_common_says_nothing(value):
    vectors = ItemVectors("m", 2)
    vectors.put(np.arange(3, dtype=np.int32), np.tile(np.array([1.0, 0.0], np.float32), (3, 1)))
    past = past_of_items(np.array([[0, 1]], np.int32), vectors)
    found = semantics(past, np.full((1, 2), value), np.zeros((1, 2)), vectors, np.ones(3, np.bool_), PARAMS)
    assert not found.weights.any()
    assert (found.candidates == -1).all()

"""Interest points, edges and scores: exact sums, the same for a user in any batch, order of behaviours without effect."""

from __future__ import annotations

import interest_graph_reference as reference
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ranking import interest_graph as graphs
from models.ranking.interest_graph import decayed_gains


def interest_graph(vectors, weights, points):
    return graphs.interest_graph(reference.placed(vectors), weights, points)


def contributions(graph, vectors, weights, candidates):
    items = np.ascontiguousarray(candidates.reshape(-1, candidates.shape[2]))
    row = np.arange(len(items)).reshape(candidates.shape[:2])
    shares, only_points = np.zeros((*row.shape, vectors.shape[1])), np.tile((1.0, 0.0), (len(weights), 1))
    placed, nothing = reference.placed(vectors), np.zeros(weights.shape)
    graphs.add_shares(graph.medoid, graph.group, *placed, weights, nothing, items, row, only_points, shares)
    return shares


def user_vectors(graph, vectors, recent=None):
    recent = np.zeros(vectors.shape[:2]) if recent is None else recent
    return graphs.user_vectors(graph, reference.placed(vectors), recent)


def history(seed, users=4, width=9, dims=6):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((users, width, dims)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    weights = rng.standard_normal((users, width))
    vectors[rng.random((users, width)) < 0.2] = 0
    weights[rng.random((users, width)) < 0.1] = 0
    return vectors, weights


SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.integers(1, 6))
def test_what_past_items_bring_adds_up_to_the_score_which_is_a_product_with_the_user_vector(seed, points):
    vectors, weights = history(seed)
    candidates = history(seed + 1, width=5)[0]
    graph = interest_graph(vectors, weights, points)
    shares = contributions(graph, vectors, weights, candidates)
    by_points = np.einsum("up,upd,ukd->uk", graph.weight, reference.point_vectors(graph, vectors), candidates)
    np.testing.assert_allclose(shares.sum(axis=2), by_points, atol=1e-6)
    np.testing.assert_allclose(
        np.einsum("ud,ukd->uk", user_vectors(graph, vectors)[:, 0], candidates), by_points, atol=1e-5
    )


@given(SEEDS)
def test_single_places_add_up_with_weights_of_their_own(seed):
    vectors, weights = history(seed)
    alone = user_vectors(interest_graph(vectors, weights, 3), vectors, weights)[:, 1]
    np.testing.assert_allclose(alone, np.einsum("uh,uhd->ud", weights, vectors), atol=1e-5)


@given(SEEDS)
def test_every_usable_item_has_a_point_and_no_other(seed):
    vectors, weights = history(seed)
    graph = interest_graph(vectors, weights, 3)
    usable = (weights != 0) & vectors.any(axis=2)
    np.testing.assert_array_equal(graph.group >= 0, usable)
    for user, medoids in enumerate(graph.medoid):
        filled = medoids[medoids >= 0]
        assert len(set(filled.tolist())) == filled.size
        assert (graph.group[user, filled] == np.arange(filled.size)).all()  # a medoid stands for itself


@given(SEEDS)
def test_a_user_alone_has_the_same_graph(seed):
    vectors, weights = history(seed)
    together = interest_graph(vectors, weights, 3)
    for user in range(4):
        alone = interest_graph(vectors[user : user + 1], weights[user : user + 1], 3)
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[user], part[0])


@given(SEEDS, st.integers(1, 6))
def test_the_loops_find_what_whole_arrays_find(seed, points):
    vectors, weights = history(seed, users=3, width=17, dims=3)  # few dimensions: many items are near to each other
    expected = reference.interest_graph(vectors, weights, points)
    found = interest_graph(vectors, weights, points)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    candidates = history(seed + 1, width=5, dims=3, users=3)[0]
    np.testing.assert_allclose(
        contributions(found, vectors, weights, candidates),
        reference.contributions(expected, vectors, weights, candidates),
        atol=1e-5,
    )


def test_two_clear_interests_become_two_points_the_heavier_first_without_an_edge():
    shoes, tea = np.eye(4, dtype=np.float32)[0], np.eye(4, dtype=np.float32)[2]
    near_shoes = np.array([0.9, np.sqrt(1 - 0.81), 0, 0], np.float32)
    graph = interest_graph(np.stack([[tea, shoes, near_shoes]]), np.array([[1.0, 1.0, 0.5]]), 3)
    assert graph.medoid.tolist() == [[1, 0, -1]]
    np.testing.assert_allclose(graph.weight, [[1.5, 1.0, 0.0]])
    assert graph.group.tolist() == [[1, 0, 0]]
    assert not graph.edge.any()


def test_points_that_are_alike_are_joined_by_an_edge_of_their_cosine():
    half = np.array([0.5, np.sqrt(0.75), 0], np.float32)
    graph = interest_graph(np.stack([[np.eye(3, dtype=np.float32)[0], half]]), np.ones((1, 2)), 2)
    np.testing.assert_allclose(graph.edge, [[[0, 0.5], [0.5, 0]]], atol=1e-6)


def test_dislikes_push_away():
    graph = interest_graph(np.eye(2, dtype=np.float32)[None], np.array([[1.0, -1.0]]), 2)
    np.testing.assert_allclose(user_vectors(graph, np.eye(2, dtype=np.float32)[None])[:, 0], [[1.0, -1.0]])


def test_nobody_and_nothing_are_no_special_cases():
    for users, width in ((0, 3), (2, 0)):
        vectors, weights = np.zeros((users, width, 4), np.float32), np.zeros((users, width))
        graph = interest_graph(vectors, weights, 2)
        assert user_vectors(graph, vectors).shape == (users, 2, 4)
        assert contributions(graph, vectors, weights, np.zeros((users, 1, 4), np.float32)).shape == (users, 1, width)
        assert not graph.weight.any()


@given(st.lists(st.tuples(st.floats(-4, 8), st.floats(0, 1e7)), max_size=20), st.floats(0, 1e6))
def test_decay_composes_for_one_half_life_and_never_grows(behaviours, later_s):
    gains, ages = (np.array(column, float) for column in zip(*behaviours, strict=True)) if behaviours else ([], [])
    gains, ages = np.array(gains), np.array(ages)
    now = decayed_gains(gains, ages, [3600.0], [1.0])
    later = decayed_gains(gains, ages + later_s, [3600.0], [1.0])
    np.testing.assert_allclose(later, decayed_gains(now, np.full(gains.shape, later_s), [3600.0], [1.0]), atol=1e-12)
    assert (np.abs(later) <= np.abs(now) + 1e-12).all()


def test_two_half_lives_fade_fast_first_and_slowly_later_and_the_future_is_now():
    gains = decayed_gains(np.ones(4), np.array([-5.0, 0.0, 3600.0, 36_000.0]), [3600.0, 360_000.0], [0.5, 0.5])
    assert gains.tolist() == pytest.approx([1.0, 1.0, 0.25 + 0.5 * 2**-0.01, 0.5 * 2**-10 + 0.5 * 2**-0.1])

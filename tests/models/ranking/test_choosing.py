"""Bounds of scores in single precision: near enough to the scores, and what they leave out is certain."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.ranking.choosing import is_certain, keep_best, log_of_many
from models.ranking.weights import default_weights, user_weights, weight_class, weight_classes


def test_logarithms_of_many_are_those_of_numpy():
    values = np.concatenate([np.linspace(1, 2, 1001), np.logspace(0, 8, 1001), [1.0, 2.0, 3.4e38]]).astype(np.float32)
    logs = np.empty_like(values)
    log_of_many(values.copy(), logs)
    np.testing.assert_allclose(logs, np.log(values.astype(np.float64)), atol=5e-7, rtol=3e-7)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=5, max_size=40), st.integers(1, 4))
def test_what_is_kept_is_the_head_of_the_sorted_list_and_what_is_left_out_is_bounded(candidates, room):
    bounds = np.array([bound for bound, _ in candidates], np.float32)
    count = np.array([count for _, count in candidates], np.float64)
    hashes = np.random.default_rng(len(candidates)).permutation(len(candidates)).astype(np.uint64)
    item, kept = np.arange(len(candidates), dtype=np.int32), np.empty(room, np.int64)
    left_out = keep_best(bounds, item, count, hashes, kept)
    order = sorted(range(len(candidates)), key=lambda c: (-bounds[c], -count[c], hashes[c]))
    assert sorted(kept.tolist()) == sorted(order[:room])
    assert left_out == max(bounds[c] for c in order[room:])


def test_certain_means_better_by_more_than_the_error():
    assert is_certain(2.0, 1.0, 0.5)
    assert not is_certain(1.5, 1.0, 0.5)


def test_every_user_has_the_weights_of_their_class():
    weights = default_weights()
    history, idle_s = (
        each.ravel() for each in np.meshgrid([0, 1, 4, 5, 19, 20, 64], [0.0, 1799.0, 1800.0, 86_399.0, 86_400.0, 1e7])
    )
    found = weight_classes(weights)[weight_class(history, idle_s)]
    np.testing.assert_array_equal(found, user_weights(weights, history, idle_s))

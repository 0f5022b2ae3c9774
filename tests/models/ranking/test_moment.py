"""Impersonal parts of scores, kept for a moment: those of the exact ranking, made anew in time."""

from __future__ import annotations

import numpy as np

from models.items.co_occurrence import moment_bins
from models.items.record import MOMENTS
from models.ranking.features import CONTEXT, FEATURES, ItemArrays, fill_features
from models.ranking.moment import ITEMS_PER_MS, MAX_AGE_MS, Moments, item_moment
from models.ranking.weights import default_weights, weight_classes

NOW_MS = 1_700_000_000_000


def items(n: int) -> ItemArrays:
    rng = np.random.default_rng(n)
    neighbours, none = np.full((n, 1), -1, np.int32), np.zeros((n, 1))
    return ItemArrays(
        np.arange(n, dtype=np.uint64) + 1, np.ones(n, np.bool_), rng.integers(0, 50, n).astype(float),
        NOW_MS - rng.integers(0, 10**10, n), rng.random((n, 3)) * 9, NOW_MS - rng.integers(0, 10**9, n),
        rng.integers(0, 9, (n, MOMENTS)), np.arange(n, dtype=np.int32), neighbours, none, none,
    )  # fmt: skip


SHARES = np.full(MOMENTS, 1 / 8)
(BINS,) = moment_bins(np.array([NOW_MS]), np.array([3], np.uint8))


def test_base_and_scene_are_the_weighted_features_of_the_exact_ranking():
    known, weights = items(40), default_weights()
    made = item_moment(known, SHARES, weights, NOW_MS, BINS[:2])
    x = np.zeros(len(FEATURES))
    for j in range(40):
        fill_features(x, known, j, np.zeros(5), np.zeros(2, np.float32), 0.0, NOW_MS, BINS, SHARES)
        assert made.scene[3, j] == np.float32(x[CONTEXT + 2])
        x[CONTEXT + 2] = 0.0
        np.testing.assert_allclose(made.base[:, j], weight_classes(weights) @ x, rtol=1e-5, atol=1e-5)


def test_it_is_kept_for_a_moment_and_made_anew_for_other_weights_items_hours_and_when_time_goes_back():
    moments, weights = Moments(), default_weights()
    first = moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2])
    assert moments.at(items(9), SHARES, weights, NOW_MS + MAX_AGE_MS, BINS[:2]) is first
    assert moments.at(items(9), SHARES, weights, NOW_MS + MAX_AGE_MS + 1, BINS[:2]) is not first
    assert moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2]).moment_ms == NOW_MS
    assert moments.at(items(10), SHARES, weights, NOW_MS, BINS[:2]).base.shape[1] == 10
    assert moments.at(items(10), SHARES, weights, NOW_MS, BINS[:2] + 1).bins.tolist() == (BINS[:2] + 1).tolist()


def test_one_of_many_items_is_made_in_slices_and_the_last_one_serves_while_the_next_is_made(monkeypatch):
    monkeypatch.setattr("models.ranking.moment.SLICE_ITEMS", 4)
    moments, weights, known = Moments(), default_weights(), items(10)

    def at(ms):
        return moments.at(known, SHARES, weights, NOW_MS + ms, BINS[:2])

    assert [at(0), at(1)] == [None, None]
    first = at(2)
    whole = item_moment(known, SHARES, weights, NOW_MS, BINS[:2])
    assert first.base.tolist() == whole.base.tolist()
    assert first.scene.tolist() == whole.scene.tolist()
    assert at(MAX_AGE_MS // 2) is first
    assert [at(600) is first, at(601) is first] == [True, True]
    second = at(602)
    assert second.moment_ms == NOW_MS + 600
    assert second.base.tolist() == item_moment(known, SHARES, weights, NOW_MS + 600, BINS[:2]).base.tolist()
    assert at(600 + MAX_AGE_MS + 1) is None
    assert moments.at(known, SHARES, weights, NOW_MS, BINS[:2] + 1) is None


def test_a_large_catalogue_may_be_older():
    assert item_moment(items(10), SHARES, default_weights(), NOW_MS, BINS[:2]).good_for_ms == MAX_AGE_MS
    n = 2 * MAX_AGE_MS * ITEMS_PER_MS
    assert item_moment(items(n), SHARES, default_weights(), NOW_MS, BINS[:2]).good_for_ms == 2 * MAX_AGE_MS

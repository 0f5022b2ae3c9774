"""Impersonal parts of scores, kept for a moment: those of the exact ranking, made anew in time."""

from __future__ import annotations

import numpy as np

from models.items.co_occurrence import moment_bins
from models.items.record import MOMENTS
from models.ranking.features import CONTEXT, FEATURES, ItemArrays, fill_features
from models.ranking.few_items import with_added
from models.ranking.moment import ITEMS_PER_MS, LEAST_ROOM, MAX_AGE_MS, Moments, item_moment
from models.ranking.newcomers import with_list
from models.ranking.weights import default_weights, weight_classes

NOW_MS = 1_700_000_000_000


def items(n: int) -> ItemArrays:
    rng = np.random.default_rng(n)
    neighbours, none = np.full((n, 1), -1, np.int32), np.zeros((n, 1))
    return ItemArrays(
        np.arange(n, dtype=np.uint64) + 1, np.ones(n, np.bool_), rng.integers(0, 50, n).astype(float),
        NOW_MS - rng.integers(0, 10**10, n), rng.random((n, 6)) * 9, rng.random((n, 3)), NOW_MS - rng.integers(0, 10**9, n),
        rng.integers(0, 9, (n, MOMENTS)), np.arange(n, dtype=np.int32), neighbours, none, none,
    )  # fmt: skip


SHARES = np.full(MOMENTS, 1 / 8)
(BINS,) = moment_bins(np.array([NOW_MS]), np.array([3], np.uint8))


def test_base_and_scene_are_the_weighted_features_of_the_exact_ranking():
    known, weights = items(40), default_weights()
    made = item_moment(known, SHARES, weights, NOW_MS, BINS[:2])
    x, wanted = np.zeros(len(FEATURES)), np.ones(len(FEATURES), np.bool_)
    for j in range(40):
        fill_features(x, known, j, np.zeros(5), np.zeros(2, np.float32), 0.0, 0.0, NOW_MS, BINS, SHARES, wanted)
        assert made.scene[3, j] == np.float32(x[CONTEXT + 2])
        x[CONTEXT + 2] = 0.0
        np.testing.assert_allclose(made.base[:, j], weight_classes(weights) @ x, rtol=1e-5, atol=1e-5)


def test_it_is_kept_for_a_moment_and_made_anew_for_other_weights_and_hours_and_when_time_goes_back():
    moments, weights = Moments(), default_weights()
    first = moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2])
    assert moments.at(items(9), SHARES, weights, NOW_MS + MAX_AGE_MS, BINS[:2]) is first
    assert moments.at(items(9), SHARES, weights, NOW_MS + MAX_AGE_MS + 1, BINS[:2]) is not first
    assert moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2]).moment_ms == NOW_MS
    assert moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2] + 1).bins.tolist() == (BINS[:2] + 1).tolist()


def test_it_is_made_anew_when_newcomers_get_another_list():
    moments, weights = Moments(), default_weights()
    first = moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2])
    second = moments.at(items(9), SHARES, with_list(weights, "trend_day"), NOW_MS, BINS[:2])
    assert second is not first
    assert moments.at(items(9), SHARES, with_list(weights, "trend_day", "hour"), NOW_MS, BINS[:2]) is not second
    plain, added = (
        moments.at(items(9), SHARES, with_added(weights, weight), NOW_MS, BINS[:2]) for weight in (0.0, 2.0)
    )
    assert (plain.base[:3, :9] != added.base[:3, :9]).any()  # of those who have few items
    assert (plain.base[3:] == added.base[3:]).all()
    assert (first.base[:-1] == second.base[:-1]).all()
    assert (first.base[-1, :9] != second.base[-1, :9]).any()


def some(known, n):
    """The first n of these items."""
    return known._replace(**{name: getattr(known, name)[:n] for name in ItemArrays._fields[:9]})


def test_it_is_made_anew_for_other_statistics_though_no_event_comes():
    moments, weights = Moments(), default_weights()
    first = moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2], 1)
    assert moments.at(items(9), SHARES, weights, NOW_MS, BINS[:2], 1) is first
    known = items(9)._replace(count=np.full(9, 99.0))
    second = moments.at(known, SHARES, weights, NOW_MS, BINS[:2], 2)
    assert second.base.tolist() == item_moment(known, SHARES, weights, NOW_MS, BINS[:2]).base.tolist()
    assert moments.at(known, SHARES, weights, NOW_MS, BINS[:2], 2) is second


def test_items_that_come_meanwhile_are_added_as_long_as_there_is_room():
    moments, weights, known = Moments(), default_weights(), items(3000)
    first = moments.at(some(known, 9), SHARES, weights, NOW_MS, BINS[:2])
    for n in (10, 500, 9 + LEAST_ROOM):
        assert moments.at(some(known, n), SHARES, weights, NOW_MS + 1, BINS[:2]) is first
        whole = item_moment(some(known, n), SHARES, weights, NOW_MS, BINS[:2])
        assert first.base[:, :n].tolist() == whole.base[:, :n].tolist()
        assert first.scene[:, :n].tolist() == whole.scene[:, :n].tolist()
    more = moments.at(some(known, 10 + LEAST_ROOM), SHARES, weights, NOW_MS + 1, BINS[:2])
    assert more.base.shape[1] > 10 + LEAST_ROOM


def test_a_catalogue_that_grows_all_the_time_has_one_and_many_newcomers_are_looked_at_in_slices(monkeypatch):
    monkeypatch.setattr("models.ranking.moment.SLICE_ITEMS", 20)
    moments, weights, known = Moments(), default_weights(), items(300)

    def at(n, version=0):
        return moments.at(some(known, n), SHARES, weights, NOW_MS, BINS[:2], version)

    assert [at(n) is None for n in range(100, 105)] == [True] * 5
    first = at(105)
    assert [at(n) is first for n in range(106, 110)] == [True] * 4
    assert [at(n) for n in (150, 151)] == [None, None]
    assert at(152) is first
    assert (
        first.base[:, :152].tolist()
        == item_moment(some(known, 152), SHARES, weights, NOW_MS, BINS[:2]).base[:, :152].tolist()
    )
    # For other statistics the next one is made while this one serves, and then serves for as many answers at least.
    assert [at(152, 2) is first for _ in range(7)] == [True] * 7
    second = at(152, 2)
    assert second is not first
    assert [at(152, 3) is second for _ in range(13)] == [True] * 13
    assert at(152, 3) is not second


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

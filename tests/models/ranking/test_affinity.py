"""models/ranking/affinity.py: what categories say, by hand and by the formula. Of whole lists: test_rank.py, by its oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.items.categories import NO_SHARES, ItemCategories, shares_of
from models.ranking.affinity import SMOOTHING, UNIT, _fill, add_affinity_shares, affinities, warm_up

A, B, BOTH, NONE = range(4)


def shop():
    categories = ItemCategories()
    for row, names in enumerate(("a", "b", "ab", "")):
        categories.put(row, names)
    return categories.of, shares_of(np.array([29.0, 9.0]), 30.0)  # shares .6 and .2


def feature(history, gains, items=(A, B, BOTH, NONE)):
    of, shares = shop()
    at = np.array([0, len(items)])
    history, gains = np.array([history], np.int32), np.array([gains], float)
    return affinities(history, gains, at, np.array(items, np.int32), of, shares).tolist()


def test_it_is_the_product_of_centred_and_scaled_indicators():
    a, b = 0.24 + 0.01, 0.16 + 0.01
    unit = UNIT * (1 + SMOOTHING)
    expected = [0.4 * 0.4 / a + 0.2 * 0.2 / b, -0.4 * 0.6 / a - 0.2 * 0.8 / b, 0.4 * 0.4 / a - 0.2 * 0.8 / b, 0.0]
    assert feature([A], [3.0]) == pytest.approx([each / unit for each in expected])


def test_what_is_usual_for_everybody_says_less_than_what_is_not():
    of_usual, of_rare = feature([A], [1.0])[A], feature([B], [1.0])[B]
    assert 0.0 < of_usual < of_rare


def test_who_dislikes_an_item_is_told_the_opposite():
    assert feature([B], [-1.0]) == [-each for each in feature([B], [1.0])]


def test_nothing_is_said_without_a_usable_past_or_without_categories():
    assert feature([-1, A], [1.0, 0.0]) == [0.0] * 4
    assert feature([NONE, 9], [1.0, 1.0]) == [0.0] * 4
    items, history = np.array([A], np.int32), np.array([[A]], np.int32)
    of, shares = shop()
    for rows, usual in ((of[:0], shares), (of, NO_SHARES)):
        assert affinities(history, np.ones((1, 1)), np.array([0, 1]), items, rows, usual).tolist() == [0.0]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 5), st.sampled_from([-1.0, 0.0, 0.5, 4.0])), max_size=9), st.floats(-3.0, 3.0)
)
def test_shares_of_places_add_up_to_the_feature(past, weight):
    of, shares = shop()
    history, gains = np.array([h for h, _ in past], np.int32), np.array([g for _, g in past])
    items, brought = np.arange(6, dtype=np.int32), np.zeros((6, len(past)))
    add_affinity_shares(history, gains, items, of, shares, weight, brought)
    total = affinities(history[None], gains[None], np.array([0, 6]), items, of, shares)
    np.testing.assert_allclose(brought.sum(axis=1), weight * total, rtol=1e-12, atol=1e-13)
    assert not brought[:, (history < 0) | (gains == 0.0)].any()


def test_users_do_not_depend_on_each_other():
    of, shares = shop()
    history, gains = np.array([[A, B], [B, -1], [-1, -1]], np.int32), np.ones((3, 2))
    items = np.array([A, B, BOTH] * 3, np.int32)
    together = affinities(history, gains, np.array([0, 3, 6, 9]), items, of, shares).reshape(3, 3)
    for u in range(3):
        alone = affinities(history[u : u + 1], gains[u : u + 1], np.array([0, 3]), items[:3], of, shares)
        assert alone.tolist() == together[u].tolist()


def test_a_warm_up_compiles_what_real_people_need():
    warm_up()
    compiled = len(_fill.signatures)
    feature([A, B], [1.0, 1.0])
    assert len(_fill.signatures) == compiled == 1

"""Attribution is an exact decomposition: what the behaviours contributed adds up to what their items contributed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.recent import RecentItems, recent_items
from models.reasons.contributions import contributions_of as contributions_of_recent

FIXED = settings(derandomize=True, deadline=None)


def contributions_of(item_contributions, position, gains, limit=0):
    """With the sums that `recent_items` would have made."""
    users, _, n_items = item_contributions.shape
    summed = np.zeros((users, n_items))
    for u, b in zip(*np.nonzero(position >= 0), strict=True):
        summed[u, position[u, b]] += gains[u, b]
    recent = RecentItems(np.zeros(summed.shape, np.uint64), summed, position)
    return contributions_of_recent(item_contributions, recent, gains, limit)


def rows_of(contributions):
    return list(zip(*(column.tolist() for column in contributions), strict=True))


def test_an_item_is_shared_among_its_behaviours_by_their_gains():
    item_contributions = np.array([[[0.8, 0.3], [0.0, 0.1]]])  # one user, two places, two items
    position = np.array([[0, 1, 0, -1]])
    gains = np.array([[1.0, 5.0, 3.0, 9.0]])
    expected = [(0, 0, 2, pytest.approx(0.6)), (0, 0, 1, 0.3), (0, 0, 0, pytest.approx(0.2)), (0, 1, 1, 0.1)]
    assert rows_of(contributions_of(item_contributions, position, gains)[0]) == expected


def test_of_contributions_that_are_equal_the_newest_behaviour_comes_first():
    item_contributions = np.array([[[0.4, 0.4, 0.5]]])
    values, others = contributions_of(item_contributions, np.array([[0, 1, 2, 1]]), np.ones((1, 4)))
    assert [row[2] for row in rows_of(values)] == [2, 0, 3, 1]
    values, others = contributions_of(item_contributions, np.array([[0, 1, 2]]), np.ones((1, 3)), limit=2)
    assert [row[2] for row in rows_of(values)] == [2, 1]
    assert others.tolist() == [[0.4]]


def test_a_dislike_takes_away_what_it_took_away():
    values, _ = contributions_of(np.array([[[0.5]]]), np.array([[0, 0]]), np.array([[2.0, -1.0]]))
    assert rows_of(values) == [(0, 0, 0, 1.0), (0, 0, 1, -0.5)]


def test_an_item_whose_gains_cancel_out_contributes_nothing_and_breaks_nothing():
    values, _ = contributions_of(np.array([[[0.0, 0.4]]]), np.array([[0, 0, 1]]), np.array([[2.0, -2.0, 1.0]]))
    assert rows_of(values) == [(0, 0, 2, 0.4)]


def test_users_without_behaviours_and_no_users_at_all_have_no_contributions():
    assert rows_of(contributions_of(np.zeros((2, 3, 4)), np.full((2, 5), -1), np.zeros((2, 5)))[0]) == []
    assert rows_of(contributions_of(np.zeros((0, 3, 4)), np.zeros((0, 5), int), np.zeros((0, 5)))[0]) == []


@FIXED
@given(seed=st.integers(0, 2**32 - 1), users=st.integers(1, 4), width=st.integers(1, 64), window=st.integers(1, 20))
def test_contributions_add_up_and_come_largest_first(seed, users, width, window):
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 12, (users, width)).astype(np.uint64)
    gains = rng.choice([-2.0, 0.0, 0.2, 1.0, 2.0, 4.0], (users, width)) * (1 + rng.random((users, width)))
    recent = recent_items(items, rng.integers(0, 1000, (users, width)), gains, window)
    places = 5
    # As the ranking gives it: in proportion to the gain of each item, nothing from padding.
    item_contributions = rng.random((users, places, window)) * recent.gains[:, None, :]
    found, _ = contributions_of_recent(item_contributions, recent, gains)
    total = np.zeros((users, places))
    np.add.at(total, (found.user, found.rank), found.value)
    assert np.allclose(total, item_contributions.sum(axis=2), rtol=0, atol=1e-9)
    order = list(zip(found.user.tolist(), found.rank.tolist(), (-np.abs(found.value)).tolist(), strict=True))
    assert order == sorted(order)
    assert found.value.all()
    assert (recent.position[found.user, found.behaviour] >= 0).all()


@FIXED
@given(seed=st.integers(0, 2**32 - 1))
def test_a_user_is_attributed_alike_alone_and_in_a_batch(seed):
    rng = np.random.default_rng(seed)
    contributions, gains = rng.random((4, 3, 6)), rng.random((4, 10))
    position = rng.integers(-1, 6, (4, 10))
    together = rows_of(contributions_of(contributions, position, gains)[0])
    alone = [
        (user, *row[1:])
        for user in range(4)
        for row in rows_of(contributions_of(contributions[[user]], position[[user]], gains[[user]])[0])
    ]
    assert together == alone


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_the_strongest_are_kept_and_the_others_are_summed(seed, limit):
    rng = np.random.default_rng(seed)
    gains, position = rng.random((3, 8)), rng.integers(-1, 4, (3, 8))
    item_contributions = rng.normal(size=(3, 2, 4))
    causes, nothing = contributions_of(item_contributions, position, gains)
    kept, others = contributions_of(item_contributions, position, gains, limit)
    assert not nothing.any()
    for user in range(3):
        for rank in range(2):
            of = (causes.user == user) & (causes.rank == rank)
            values = causes.value[of].tolist()
            listed = kept.value[(kept.user == user) & (kept.rank == rank)].tolist()
            assert listed == (values[:limit] if limit else values)
            assert others[user, rank] == pytest.approx(sum(values[len(listed) :]), abs=1e-12)

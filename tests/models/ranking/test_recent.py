"""models/ranking/recent.py"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.recent import behaviour_gain, recent_items

STRENGTHS = (0.2, 1.0, 2.0, -2.0, 2.0, 4.0, 0.0, 0.0)


def _recent(rows, window=4):
    """`rows`: per user, (item, time, gain) per behaviour."""
    items, times, gains = (np.array([[b[n] for b in row] for row in rows]) for n in range(3))
    return recent_items(items.astype(np.uint64), times.astype(np.int64), gains.astype(float), window)


def test_dwell_at_saturation_adds_half_and_no_dwell_adds_nothing():
    gain = behaviour_gain([1, 1, 1, 3], [0, 30_000, -5, 30_000], STRENGTHS, 30_000)
    assert gain.tolist() == [1.0, 1.5, 1.0, -3.0]


def test_unknown_dwell_counts_as_none():
    assert behaviour_gain([[5]], [[np.nan]], STRENGTHS, 30_000).tolist() == [[4.0]]


@given(st.floats(0, 1e15), st.floats(0, 1e15))
def test_gain_grows_with_dwell_and_never_doubles(one, other):
    low, high = behaviour_gain([1, 1], sorted((one, other)), STRENGTHS, 30_000)
    assert 1.0 <= low <= high <= 2.0


def test_an_item_is_as_new_as_its_newest_behaviour_and_gains_add_up():
    recent = _recent([[(7, 100, 1.0), (8, 200, 2.0), (7, 300, 3.0), (9, 50, -8.0)]])
    assert recent.items.tolist() == [[7, 8, 9, 0]]
    assert recent.gains.tolist() == [[4, 2, -8, 0]]
    assert recent.position.tolist() == [[0, 1, 0, 2]]


def test_behaviours_without_item_or_gain_are_ignored():
    recent = _recent([[(0, 300, 1.0), (8, 200, 0.0), (7, 100, 3.0)]])
    assert recent.items.tolist() == [[7, 0, 0, 0]]
    assert recent.gains.tolist() == [[3.0, 0, 0, 0]]
    assert recent.position.tolist() == [[-1, -1, 0]]


def test_only_the_newest_items_fit_the_window():
    recent = _recent([[(1, 1, 1.0), (2, 2, 1.0), (3, 3, 1.0), (1, 0, 5.0)]], window=2)
    assert recent.items.tolist() == [[3, 2]]
    assert recent.position.tolist() == [[-1, 1, 0, -1]]


def test_of_equal_times_the_later_column_is_newer():
    assert _recent([[(1, 5, 1.0), (2, 5, 1.0), (3, 5, 1.0)]]).items.tolist() == [[3, 2, 1, 0]]


def test_gains_that_cancel_leave_an_item_without_gain():
    recent = _recent([[(1, 5, 2.0), (1, 6, -2.0)]])
    assert recent.items.tolist() == [[1, 0, 0, 0]]
    assert recent.gains.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_no_behaviours_and_no_users_give_padding():
    assert _recent([[(0, 0, 0.0)]]).items.tolist() == [[0, 0, 0, 0]]
    empty = recent_items(np.zeros((2, 0), np.uint64), np.zeros((2, 0), np.int64), np.zeros((2, 0)), 3)
    assert empty.items.shape == (2, 3)
    nobody = recent_items(np.zeros((0, 5), np.uint64), np.zeros((0, 5), np.int64), np.zeros((0, 5)), 3)
    assert nobody.position.shape == (0, 5)


def _oracle(row, window):
    used = [(time, column, item, gain) for column, (item, time, gain) in enumerate(row) if item and gain]
    order, gains = [], {}
    for _, _, item, gain in sorted(used, reverse=True):
        if item not in gains:
            order.append(item)
        gains[item] = gains.get(item, 0.0) + gain
    order = order[:window]
    position = [order.index(i) if i in order and g else -1 for i, _, g in row]
    return order, [gains[item] for item in order], position


behaviour = st.tuples(st.integers(0, 6), st.integers(-20, 20), st.sampled_from([-2.0, 0.0, 0.25, 1.0, 4.0]))
users = st.integers(0, 9).flatmap(
    lambda width: st.lists(st.lists(behaviour, min_size=width, max_size=width), min_size=1, max_size=5)
)


@settings(deadline=None)
@given(users, st.integers(1, 6))
def test_it_agrees_with_the_plain_definition_and_one_by_one(rows, window):
    if not rows[0]:
        return
    batch = _recent(rows, window)
    for n, row in enumerate(rows):
        order, expected, position = _oracle(row, window)
        assert [i for i in batch.items[n].tolist() if i] == order
        np.testing.assert_allclose(batch.gains[n, : len(order)], expected, rtol=0, atol=1e-12)
        assert batch.position[n].tolist() == position
        alone = _recent([row], window)
        assert alone.gains[0].tobytes() == batch.gains[n].tobytes()


@settings(deadline=None)
@given(st.lists(behaviour, min_size=1, max_size=9, unique_by=lambda b: b[1]), st.randoms(use_true_random=False))
def test_the_order_in_which_behaviours_arrive_does_not_matter(row, random):
    shuffled = random.sample(row, len(row))
    before, after = _recent([row]), _recent([shuffled])
    assert before.items.tolist() == after.items.tolist()
    assert before.gains.tobytes() == after.gains.tobytes()
    places = dict(zip(row, before.position[0].tolist(), strict=True))
    assert after.position[0].tolist() == [places[b] for b in shuffled]


VIEW, CLICK, DISLIKE = 0.2, 1.0, -2.0


@pytest.mark.parametrize(
    "gains", [[VIEW] * 10 + [DISLIKE], [CLICK, *[VIEW] * 5, DISLIKE], [*[VIEW] * 15, CLICK, DISLIKE, DISLIKE]]
)
def test_what_cancels_is_nothing_in_whatever_order_it_is_added_up(gains):
    """Ten views of 0.2 and a dislike of -2 are -2e-16 in floating point, or 3e-16; divided by it, all is without meaning."""
    gains = np.array([gains])
    for order in (gains, gains[:, ::-1]):
        found = recent_items(np.full(order.shape, 7, np.uint64), np.arange(order.shape[1])[None], order, 3)
        assert found.gains.tolist() == [[0.0, 0.0, 0.0]]
        assert found.items.tolist() == [[7, 0, 0]], "it is still what the person met"


def test_what_nearly_cancels_is_something():
    found = recent_items(np.full((1, 2), 7, np.uint64), np.array([[1, 2]]), np.array([[2.0, -2.0001]]), 1)
    assert found.gains.tolist() == [[pytest.approx(-0.0001)]]

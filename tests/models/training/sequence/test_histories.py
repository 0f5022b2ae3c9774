"""What a history tells of time when the moment of the question is kept from it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.sequence.features import NO_GAP, hour_of, times_of, weekday_of
from models.training.sequence.histories import without_query_time

START_MS = 1_700_000_000_000


def test_each_token_is_told_what_came_before_it_by_hand():
    seconds = np.array([[0, 2, 62]])
    known = times_of(START_MS + 1000 * seconds, np.array([3]), np.array([START_MS + 1_000_000]))
    assert known.gap.tolist() == [[NO_GAP, 1, 3, 5]]
    found = without_query_time(known)
    assert found.gap.tolist() == [[NO_GAP, NO_GAP, 1, 3]]
    own = START_MS + 1000 * seconds
    assert found.hour[:, 1:].tolist() == hour_of(own).tolist()
    assert found.weekday[:, 1:].tolist() == weekday_of(own).tolist()


@given(st.integers(0, 6), st.integers(0, 10**12), st.integers(0, 99))
def test_when_is_asked_changes_nothing(length, later_ms, seed):
    rng = np.random.default_rng(seed)
    times = START_MS + np.cumsum(rng.integers(0, 10**9, (1, 6)), axis=1)
    lengths, newest = np.array([length]), times[:, max(length - 1, 0)]
    one, other = (without_query_time(times_of(times, lengths, now)) for now in (newest, newest + later_ms))
    for a, b in zip(one, other, strict=True):
        assert a[:, : length + 1].tolist() == b[:, : length + 1].tolist()

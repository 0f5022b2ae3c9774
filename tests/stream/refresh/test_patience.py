"""Patience: all of the deadline as long as the queue empties, a quarter of it when it stands."""

from __future__ import annotations

import math

from stream.refresh.patience import SHORT, SOON, STANDS_AFTER, Patience

DEADLINE_S = 2.0
SHORT_S = SHORT * DEADLINE_S
SOON_S = SOON * SHORT_S
STANDS_S = STANDS_AFTER * DEADLINE_S


def test_a_burst_after_a_quiet_time_has_all_of_the_deadline():
    patience = Patience(DEADLINE_S)
    assert patience.allowed_s(None, 0.0) == DEADLINE_S
    assert patience.allowed_s(0.9 * STANDS_S, 1000.0) == DEADLINE_S, (
        "it cannot have stood for longer than this one waited"
    )
    assert patience.allowed_s(1.1 * STANDS_S, 1000.0 + 0.2 * STANDS_S) == SHORT_S


def test_patience_is_short_from_when_nobody_was_served_soon_for_long_until_somebody_is():
    patience = Patience(DEADLINE_S)
    for now in (0.0, 0.5 * STANDS_S, 0.99 * STANDS_S):
        assert patience.allowed_s(1.01 * SOON_S if now else SOON_S, now) == DEADLINE_S
    assert patience.allowed_s(1.01 * SOON_S, STANDS_S) == SHORT_S
    assert patience.allowed_s(SOON_S, STANDS_S) == DEADLINE_S


def test_without_a_deadline_no_wait_is_too_long():
    assert Patience(0.0).allowed_s(1e9, 0.0) == math.inf

"""What the model is told about time, the same in training and in serving. Pure.

A token is an item the user had. With it goes what came *after* it: how long until the next event, and the hour and weekday of
that event. For the newest item the next event is the question itself, so "now" enters at one place and means the same thing
at every position of a history: training on all positions at once teaches exactly what serving asks.

    token      start    item 1   item 2   ..   item n
    gap        none     2 - 1    3 - 2         now - n
    calendar   of 1     of 2     of 3          of now
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_MS, EPOCH_WEEKDAY, HOUR_MS

GAP_BUCKETS: Final = 14
"""0: less than a second; b: [4^(b-1), 4^b) seconds; the last: 4^12 seconds (194 days) or more."""

NO_GAP: Final = GAP_BUCKETS
"""Of the start token: nothing is known before it."""

PAIR_BUCKETS: Final = 31
"""0: less than a second; b: [2^b - 1, 2^(b + 1) - 1) seconds; the last: 2^30 seconds (34 years) or more."""

START_PAIR: Final = PAIR_BUCKETS
"""Of the start token: it has no time."""

HOURS, WEEKDAYS = 24, 7
_EDGES_MS: Final = 1000 * 4 ** np.arange(GAP_BUCKETS - 1, dtype=np.int64)
_PAIR_EDGES_MS: Final = 1000 * (2 ** np.arange(1, PAIR_BUCKETS, dtype=np.int64) - 1)


class Times(NamedTuple):
    """Features of (b, t) tokens, int64 each."""

    gap: NDArray[np.int64]
    """0 .. NO_GAP."""
    hour: NDArray[np.int64]
    weekday: NDArray[np.int64]
    own_ms: NDArray[np.int64]
    """When the token was had; 0 for the start token."""
    following_ms: NDArray[np.int64]
    """When what came after it was had, or is asked for."""


def gap_buckets(gap_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket of each gap; one below zero (an event that came late) counts as none at all. Any shape."""
    return np.searchsorted(_EDGES_MS, gap_ms, side="right")


def hour_of(time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 .. 23, UTC. Any shape."""
    return time_ms // HOUR_MS % HOURS


def weekday_of(time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 = Monday .. 6, UTC. Any shape."""
    return (time_ms // DAY_MS + EPOCH_WEEKDAY) % WEEKDAYS


def times_of(times_ms: NDArray[np.int64], lengths: NDArray[np.int64], now_ms: NDArray[np.int64]) -> Times:
    """Features of the start token and of each history's items.

    Args:
        times_ms: (b, t) int64, oldest first, at the left; what is beyond a row's length does not matter.
        lengths: (b,) int64, 0 .. t.
        now_ms: (b,) int64, when is asked.

    Returns:
        (b, t + 1) each; beyond position `lengths` anything valid.
    """
    b, t = times_ms.shape
    places = np.arange(t)
    following = np.concatenate((times_ms, now_ms[:, None]), axis=1)
    following = np.where(np.arange(t + 1) >= lengths[:, None], now_ms[:, None], following)
    gap = np.full((b, t + 1), NO_GAP, np.int64)
    gap[:, 1:] = np.where(places < lengths[:, None], gap_buckets(following[:, 1:] - times_ms), NO_GAP)
    own = np.concatenate((np.zeros((b, 1), np.int64), times_ms), axis=1)
    return Times(gap, hour_of(following), weekday_of(following), own, following)


def pair_buckets(times: Times) -> NDArray[np.int64]:
    """(b, t + 1, t + 1) int64: how long token j lay back when what came after token i was had, or is asked for.

    `START_PAIR` where j is the start token. A time below zero counts as none at all, so what j > i holds is valid.
    """
    found = np.searchsorted(_PAIR_EDGES_MS, times.following_ms[:, :, None] - times.own_ms[:, None, :], side="right")
    found[:, :, 0] = START_PAIR
    return found

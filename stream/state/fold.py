"""What leaves the ring: points, histogram and bought hold everything older than a user's last 64 behaviours.

One behaviour at a time, rounding to what is stored after each, so that the bits do not depend on how the topic was cut into
chunks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.calendar import DAY_S, EPOCH_WEEKDAY
from models.compiled import compiled_part
from stream.state.record import BIN_CONTEXT, BIN_TOTAL, BIN_WEEKDAY, BINS, BOUGHT, POINTS, StateColumns

MAX_COUNT = np.int64(65_535)
_LEAST = np.float64(1e-30)
"""Stands for weights that are not positive where points are compared by the logarithm of their weight."""


class HalfLives(NamedTuple):
    """Of the two weights of a point and of the histogram, in seconds."""

    long_s: float
    short_s: float
    histogram_s: float


@compiled_part
def fold(
    c: StateColumns,
    r: int,
    item: np.uint64,
    time_s: np.int64,
    context: np.uint8,
    gain: float,
    bought: bool,
    half_lives: HalfLives,
) -> None:
    """Fold one behaviour that leaves the ring into row `r`; `gain` is 0 for one that is about no item."""
    _fold_histogram(c, r, time_s, context, half_lives.histogram_s)
    if gain != 0.0:
        _fold_point(c, r, item, time_s, gain, half_lives)
    if bought:
        _fold_bought(c, r, np.uint16(item >> np.uint64(48)))


@compiled_part
def _fold_histogram(c: StateColumns, r: int, time_s: np.int64, context: np.uint8, half_life_s: float) -> None:
    reference = np.int64(c.older_s[r])
    latest = max(reference, time_s)
    keep, weight = _half(latest - reference, half_life_s), _half(latest - time_s, half_life_s)
    hour = time_s % DAY_S * BIN_WEEKDAY // DAY_S
    weekday = BIN_WEEKDAY + (time_s // DAY_S + EPOCH_WEEKDAY) % 7
    contextual = BIN_CONTEXT + np.int64(context) % 4
    for k in range(BINS):
        value = np.float64(c.histogram[r, k]) * keep
        if k in (hour, weekday, contextual, BIN_TOTAL):
            value += weight
        c.histogram[r, k] = np.float32(value)
    c.older_s[r] = np.uint32(latest)


@compiled_part
def _fold_point(c: StateColumns, r: int, item: np.uint64, time_s: np.int64, gain: float, half_lives: HalfLives) -> None:
    """Add to the point of the item; else open one, in place of the lightest if all are taken (dislikes open none)."""
    n = np.int64(c.n_points[r])
    for k in range(n):
        point = c.point[r, k]
        if point.item == item:
            last_s = np.int64(point.last_s)
            last = max(last_s, time_s)
            aged, late = last - last_s, last - time_s
            kept = np.float64(point.long) * _half(aged, half_lives.long_s)
            point.long = np.float32(kept + _half(late, half_lives.long_s) * gain)
            kept = np.float64(point.short) * _half(aged, half_lives.short_s)
            point.short = np.float32(kept + _half(late, half_lives.short_s) * gain)
            point.last_s = np.uint32(last)
            point.count = np.uint16(min(np.int64(point.count) + 1, MAX_COUNT))
            return
    if gain < 0.0:
        return
    place = int(n)
    if n < POINTS:
        c.n_points[r] = np.uint8(n + 1)
    else:
        place, lightest = 0, np.float64(np.inf)
        for k in range(POINTS):
            # The logarithm of a weight that decays with the same half-life orders alike at any time.
            point = c.point[r, k]
            weight = np.log2(max(np.float64(point.long), _LEAST)) + np.float64(point.last_s) / half_lives.long_s
            if weight < lightest:
                place, lightest = k, weight
    point = c.point[r, place]
    point.item, point.long, point.short = item, np.float32(gain), np.float32(gain)
    point.last_s, point.count = np.uint32(time_s), np.uint16(1)


@compiled_part
def _fold_bought(c: StateColumns, r: int, fingerprint: np.uint16) -> None:
    for k in range(min(c.n_bought[r], BOUGHT)):
        if c.bought[r, k] == fingerprint:
            return
    c.bought[r, c.n_bought[r] % BOUGHT] = fingerprint
    c.n_bought[r] += 1


@compiled_part
def _half(age_s: np.int64, half_life_s: float) -> float:
    return np.exp2(-age_s / half_life_s)  # type: ignore[no-any-return]

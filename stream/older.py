"""What leaves the ring: points, histogram and bought hold everything older than a user's last 64 behaviours.

One behaviour at a time, rounding to what is stored after each, so that the bits do not depend on how the topic was cut into
chunks. There are two ways to the same bits: many users side by side, and one user with many behaviours.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.state import BIN_CONTEXT, BIN_TOTAL, BIN_WEEKDAY, BINS, BOUGHT, POINTS, States

DAY_S = 86_400
_WEEKDAY_OF_EPOCH = 3
"""1970-01-01 was a Thursday; Monday is 0."""

FEW_TURNS = 4
"""Behaviours of one user leaving in a round, up to which users are folded side by side; beyond, one by one."""

MAX_COUNT = 65_535
_LEAST = 1e-30
"""Stands for weights that are not positive where points are compared by the logarithm of their weight."""

_FLOAT32 = struct.Struct("<f")
_HISTOGRAM = struct.Struct(f"<{BINS}f")


class HalfLives(NamedTuple):
    """Of the two weights of a point and of the histogram, in seconds."""

    long_s: float
    short_s: float
    histogram_s: float


class Older(NamedTuple):
    """Behaviours leaving the ring, sorted by row, then in the order in which they leave; every array is `(n,)`."""

    row: NDArray[np.int64]
    item: NDArray[np.uint64]
    time_s: NDArray[np.int64]
    context: NDArray[np.uint8]
    gain: NDArray[np.float64]
    """0 for behaviours that are about no item."""
    bought: NDArray[np.bool_]

    def take(self, index: NDArray[np.generic]) -> Older:
        """The behaviours at `index` (positions or mask)."""
        return Older(*(column[index] for column in self))


def fold_older(states: States, older: Older, turn: NDArray[np.int64], half_lives: HalfLives) -> None:
    """Fold behaviours into `states` in place; `turn` (n,) counts those of one user from 0."""
    starts = np.flatnonzero(turn == 0)
    counts = np.diff(np.r_[starts, len(turn)])
    many = counts > FEW_TURNS
    for start, count in zip(starts[many].tolist(), counts[many].tolist(), strict=True):
        _fold_sequence(states, older.take(np.arange(start, start + count)), half_lives)
    few = np.repeat(~many, counts)
    older, turn = older.take(few), turn[few]
    for k in range(int(turn.max(initial=-1)) + 1):
        _fold_side_by_side(states, older.take(turn == k), half_lives)


# --- many users side by side, one behaviour each ---


def _fold_side_by_side(states: States, older: Older, half_lives: HalfLives) -> None:
    _fold_histogram(states, older.row, older.time_s, older.context, half_lives)
    about = older.gain != 0
    _fold_points(states, older.row[about], older.item[about], older.time_s[about], older.gain[about], half_lives)
    _fold_bought(states, older.row[older.bought], (older.item[older.bought] >> np.uint64(48)).astype(np.uint16))


def _fold_histogram(
    states: States,
    rows: NDArray[np.int64],
    time_s: NDArray[np.int64],
    context: NDArray[np.uint8],
    half_lives: HalfLives,
) -> None:
    reference = states.older_s[rows].astype(np.int64)
    latest = np.maximum(reference, time_s)
    keep = np.exp2(-(latest - reference) / half_lives.histogram_s)
    weight = np.exp2(-(latest - time_s) / half_lives.histogram_s)
    histogram = states.histogram[rows].astype(np.float64) * keep[:, None]
    bins = np.zeros((len(rows), BINS))
    index = np.arange(len(rows))
    for chosen in _bins(time_s, context):
        bins[index, chosen] = weight
    states.histogram[rows] = (histogram + bins).astype(np.float32)
    states.older_s[rows] = latest.astype(np.uint32)


def _fold_points(
    states: States,
    rows: NDArray[np.int64],
    item: NDArray[np.uint64],
    time_s: NDArray[np.int64],
    gain: NDArray[np.float64],
    half_lives: HalfLives,
) -> None:
    """Add to the point of the item; else open one, in place of the lightest if all are taken (dislikes open none)."""
    points = states.point[rows]
    n = states.n_points[rows].astype(np.int64)
    same = (points["item"] == item[:, None]) & (np.arange(POINTS) < n[:, None])
    found = same.any(axis=1)
    # log of a weight that decays with the same half-life orders alike at any time
    weight = np.log2(np.maximum(points["long"].astype(np.float64), _LEAST))
    weight += points["last_s"].astype(np.int64) / half_lives.long_s
    place = np.where(found, same.argmax(axis=1), np.where(n < POINTS, np.minimum(n, POINTS - 1), weight.argmin(axis=1)))
    change = found | (gain > 0)
    rows, place, found, n = rows[change], place[change], found[change], n[change]
    item, time_s, gain = item[change], time_s[change], gain[change]
    old = states.point[rows, place]
    last = np.where(found, np.maximum(old["last_s"].astype(np.int64), time_s), time_s)
    point = np.zeros(len(rows), states.point.dtype)
    point["item"], point["last_s"] = item, last
    point["count"] = np.where(found, np.minimum(old["count"].astype(np.int64) + 1, MAX_COUNT), 1)
    for name, half_life_s in (("long", half_lives.long_s), ("short", half_lives.short_s)):
        kept = np.exp2(-(last - old["last_s"].astype(np.int64)) / half_life_s) * old[name].astype(np.float64)
        added = np.exp2(-(last - time_s) / half_life_s) * gain
        point[name] = np.where(found, kept + added, added).astype(np.float32)
    states.point[rows, place] = point
    states.n_points[rows] = np.minimum(np.where(found, n, n + 1), POINTS).astype(np.uint8)


def _fold_bought(states: States, rows: NDArray[np.int64], fingerprint: NDArray[np.uint16]) -> None:
    used = np.arange(BOUGHT) < np.minimum(states.n_bought[rows], BOUGHT)[:, None]
    new = ~((states.bought[rows] == fingerprint[:, None]) & used).any(axis=1)
    rows, fingerprint = rows[new], fingerprint[new]
    states.bought[rows, states.n_bought[rows] % BOUGHT] = fingerprint
    states.n_bought[rows] += 1


# --- one user, many behaviours ---


def _fold_sequence(states: States, older: Older, half_lives: HalfLives) -> None:
    """The same for behaviours of one user, without arrays: an array operation costs more than all of one behaviour."""
    row = int(older.row[0])
    _fold_histogram_sequence(states, row, older, half_lives.histogram_s)
    _fold_points_sequence(states, row, older, half_lives)
    bought, n = states.bought[row].tolist(), int(states.n_bought[row])
    for fingerprint in (older.item[older.bought] >> np.uint64(48)).tolist():
        if fingerprint not in bought[: min(n, BOUGHT)]:
            bought[n % BOUGHT] = fingerprint
            n += 1
    states.bought[row], states.n_bought[row] = bought, n


def _fold_histogram_sequence(states: States, row: int, older: Older, half_life_s: float) -> None:
    latest = np.maximum(np.maximum.accumulate(older.time_s), int(states.older_s[row]))
    reference = np.r_[int(states.older_s[row]), latest[:-1]]
    kept = np.exp2(-(latest - reference) / half_life_s).tolist()
    added = np.exp2(-(latest - older.time_s) / half_life_s).tolist()
    bins = np.stack(_bins(older.time_s, older.context), axis=1).tolist()
    histogram = states.histogram[row].tolist()
    for keep, weight, indices in zip(kept, added, bins, strict=True):
        histogram = [value * keep for value in histogram]
        for index in indices:
            histogram[index] += weight
        histogram = list(_HISTOGRAM.unpack(_HISTOGRAM.pack(*histogram)))
    states.histogram[row], states.older_s[row] = histogram, latest[-1]


def _fold_points_sequence(states: States, row: int, older: Older, half_lives: HalfLives) -> None:
    n = int(states.n_points[row])
    points = [list(point) for point in states.point[row, :n].tolist()]
    logs = [_log_weight(point, half_lives.long_s) for point in points]
    for item, time_s, gain in zip(older.item.tolist(), older.time_s.tolist(), older.gain.tolist(), strict=True):
        if gain == 0:
            continue
        place = next((i for i, point in enumerate(points) if point[0] == item), None)
        if place is not None:
            _add_to_point(points[place], time_s, gain, half_lives)
        elif gain < 0:
            continue
        else:
            point = [item, _to_float32(gain), _to_float32(gain), time_s, 1]
            if len(points) < POINTS:
                place = len(points)
                points.append(point)
                logs.append(0.0)
            else:
                place = min(range(POINTS), key=logs.__getitem__)
                points[place] = point
        logs[place] = _log_weight(points[place], half_lives.long_s)
    states.point[row, : len(points)] = [tuple(point) for point in points]
    states.n_points[row] = len(points)


def _add_to_point(point: list[float], time_s: int, gain: float, half_lives: HalfLives) -> None:
    last = max(int(point[3]), time_s)
    for index, half_life_s in ((1, half_lives.long_s), (2, half_lives.short_s)):
        kept = _exp2(-(last - int(point[3])) / half_life_s) * point[index]
        point[index] = _to_float32(kept + _exp2(-(last - time_s) / half_life_s) * gain)
    point[3], point[4] = last, min(int(point[4]) + 1, MAX_COUNT)


def _log_weight(point: list[float], half_life_s: float) -> float:
    return float(np.log2(max(point[1], _LEAST))) + int(point[3]) / half_life_s


def _exp2(exponent: float) -> float:
    # NumPy's, not math's: the two may differ in the last bit, and both ways must give the same.
    return float(np.exp2(exponent)) if exponent else 1.0


def _to_float32(value: float) -> float:
    rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    return rounded


def _bins(time_s: NDArray[np.int64], context: NDArray[np.uint8]) -> tuple[NDArray[np.int64], ...]:
    """Bins of the histogram that each behaviour counts in: hour of the day, weekday, context, total."""
    return (
        time_s % DAY_S * BIN_WEEKDAY // DAY_S,
        BIN_WEEKDAY + (time_s // DAY_S + _WEEKDAY_OF_EPOCH) % 7,
        BIN_CONTEXT + context.astype(np.int64) % 4,
        np.full(len(time_s), BIN_TOTAL),
    )

"""What is computed from the readings of a benchmark. Pure: no clock, no Kafka; tests/benchmarks/test_measure.py checks it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}
SUSTAINED_S = 0.5
"""A load is sustained if no more users wait at its end than arrive in this time."""


class Events(NamedTuple):
    """Events as they were sent, `(n,)` each; a user is known by the same number in `Lists`."""

    user: NDArray[np.int64]
    offset: NDArray[np.int64]
    """In the partition of the user."""
    due_ms: NDArray[np.float64]
    """When the schedule wanted the event sent, in ms since 1970, whether the producer managed or not."""


class Lists(NamedTuple):
    """Lists as they appeared on the topic, `(m,)` each."""

    user: NDArray[np.int64]
    source_offset: NDArray[np.int64]
    """Newest event that the list reflects."""
    appended_ms: NDArray[np.float64]
    """When the broker appended it, in ms since 1970."""


class Reading(NamedTuple):
    """Totals of several workers at one moment."""

    at_s: float
    applied: tuple[float, ...]
    """Events applied so far, one per worker."""


def events_per_s(events: float, started_s: float, ended_s: float) -> float:
    """Events per second between two moments of one clock."""
    if ended_s <= started_s:
        raise ValueError(f"nothing lies between {started_s} s and {ended_s} s")
    return events / (ended_s - started_s)


def schedule_s(rate: float, seconds: float) -> NDArray[np.float64]:
    """When each event of an open loop is due, in s after its start: evenly, whatever becomes of the ones before."""
    return np.arange(int(rate * seconds)) / rate


def staged_schedule_s(rates: Sequence[float], seconds: float) -> NDArray[np.float64]:
    """The same for stages of so many seconds each, one after another without a pause."""
    return np.concatenate([stage * seconds + schedule_s(rate, seconds) for stage, rate in enumerate(rates)])


def histogram_percentile(bounds: Sequence[float], counts: Sequence[float], q: float) -> float:
    """Percentile of a Prometheus histogram, as Prometheus estimates it: evenly within a bucket.

    Args:
        bounds: upper ends of the buckets, ascending; the last may be infinite.
        counts: observations up to each of them, cumulative.
        q: 0 to 100.
    """
    if not counts or counts[-1] <= 0:
        return math.nan
    wanted = counts[-1] * q / 100
    at = next(i for i, count in enumerate(counts) if count >= wanted)
    low, before = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    if math.isinf(bounds[at]):
        return low
    return low + (bounds[at] - low) * (wanted - before) / max(counts[at] - before, 1e-9)


def answer_latencies_ms(events: Events, lists: Lists) -> NDArray[np.float64]:
    """Per event, from when it was due to the first list of its user that reflects it; infinite where there is none."""
    latencies = np.full(len(events.user), np.inf)
    if not len(events.user) or not len(lists.user):
        return latencies
    by_user = np.lexsort((lists.appended_ms, lists.user))
    user, appended_ms = lists.user[by_user], lists.appended_ms[by_user]
    # A list published again after a crash may be older than what the user had by then, hence the running maximum.
    width = int(max(events.offset.max(), lists.source_offset.max())) + 2
    reflected = np.maximum.accumulate(user * width + np.minimum(lists.source_offset[by_user] + 1, width - 1))
    found = np.searchsorted(reflected, events.user * width + events.offset + 1)
    inside = np.minimum(found, len(user) - 1)
    answered = (found < len(user)) & (user[inside] == events.user)
    latencies[answered] = appended_ms[inside[answered]] - events.due_ms[answered]
    return latencies


def percentiles(latencies_ms: NDArray[np.float64]) -> dict[str, float]:
    """`p50`, `p90`, `p99`, `p99_9` and `max` in ms; an event without an answer counts as infinitely late."""
    if not len(latencies_ms):
        raise ValueError("there are no latencies")
    ascending = np.sort(latencies_ms)
    # A value that occurred, not one between two: between a finite and an infinite one there is none. The rounding keeps the
    # 99.9 % of 1,000 values at the 999th, which binary fractions would miss.
    figures = {
        name: float(ascending[math.ceil(round(len(ascending) * q / 100, 6)) - 1]) for name, q in PERCENTILES.items()
    }
    return figures | {"max": float(latencies_ms.max())}


def longest_gap_ms(appended_ms: NDArray[np.float64], begin_ms: float, end_ms: float) -> float:
    """Longest time within the window in which nothing appeared."""
    inside = appended_ms[(appended_ms > begin_ms) & (appended_ms < end_ms)]
    return float(np.diff(np.concatenate([[begin_ms], np.sort(inside), [end_ms]])).max())


def is_sustained(waiting: Sequence[float], rate: float) -> bool:
    """Whether a load of `rate` users/s was kept up with: `waiting` users, read through its second half, do not pile up."""
    return float(np.median(waiting[len(waiting) // 2 :])) <= rate * SUSTAINED_S


def steady_window(readings: Sequence[Reading]) -> tuple[int, int]:
    """Readings between which every worker is at work: from the last one's first event to the first one's last.

    Raises:
        ValueError: there is no such time.
    """
    applied = np.array([reading.applied for reading in readings])
    begin = int((applied > applied[0]).argmax(axis=0).max())
    end = int((applied >= applied[-1]).argmax(axis=0).min())
    if (applied[0] >= applied[-1]).any() or end <= begin:
        raise ValueError("the workers were never all at work")
    return begin, end


def steady_events_per_s(readings: Sequence[Reading]) -> float:
    """All workers together, in the steady window."""
    begin, end = (readings[i] for i in steady_window(readings))
    return events_per_s(sum(end.applied) - sum(begin.applied), begin.at_s, end.at_s)


def growth(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of y over x (least squares) in the second half: what still grows when everything bounded has filled up."""
    half_x, half_y = (np.array(values[len(values) // 2 :], float) for values in (x, y))
    from_mean = half_x - half_x.mean()
    if not from_mean.any():
        raise ValueError("x does not change in the second half")
    return float((from_mean * half_y).sum() / (from_mean**2).sum())

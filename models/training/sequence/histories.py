"""Histories as arrays, cut into segments to train on and into questions to measure with. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.sequence.features import NO_GAP, Times, times_of
from models.training.engagements import Engagements


class Histories(NamedTuple):
    """n first engagements, by user, then time; items are numbered 0, 1, .."""

    start: I8
    """(n,) row of the first event of the same user."""
    end: I8
    """(n,) row after the last event of the same user."""
    item: I4
    time_ms: I8


class Batch(NamedTuple):
    """b histories of up to t items, at the left of their rows."""

    items: I8
    """(b, t), oldest first; -1 beyond the length."""
    times: Times
    """(b, t + 1), of the start token and the items."""
    lengths: I8
    """(b,)"""


class Lesson(NamedTuple):
    """Histories, and what came next at every place of them."""

    history: Batch
    targets: I8
    """(b, t + 1): the item that followed the start token and each item; -1 where there is nothing to learn."""


def histories(events: Engagements) -> Histories:
    """The same events, each with the bounds of its user's."""
    n = events.user.size
    first = np.flatnonzero(np.diff(events.user, prepend=-1)) if n else np.zeros(0, np.int64)
    counts = np.diff(np.append(first, n))
    return Histories(np.repeat(first, counts), np.repeat(first + counts, counts), events.item, events.time_ms)


def before(events: Histories, rows: I8, length: int) -> Batch:
    """What each event's user had before it, the newest `length` items, asked at the event's own time.

    Args:
        events: n of them.
        rows: (b,) int64, the events that are asked for.
        length: t, unless all are shorter.
    """
    lengths = np.minimum(rows - events.start[rows], length)
    return _gathered(events, rows - lengths, lengths, events.time_ms[rows])


def segments(events: Histories, length: int, rng: np.random.Generator) -> I8:
    """(s, 2) int64 rows [from, to): no event is in two segments of at most `length` + 1; cut anew at each call.

    The first cut of a user is drawn, so over several epochs an event is met with few and with many before it. A single event in
    the middle of a history is left out: nothing could be learned from it (see `lesson`).
    """
    first = np.flatnonzero(np.diff(events.start, prepend=-1))
    found: list[tuple[int, int]] = []
    for start, end, head in zip(
        first.tolist(), events.end[first].tolist(), rng.integers(1, length + 2, first.size).tolist(), strict=True
    ):
        cuts = [start, *range(min(start + head, end), end, length + 1), end]
        found.extend((a, b) for a, b in pairwise(cuts) if b - a > 1 or a == start < b)
    return np.array(found, np.int64).reshape(-1, 2)


def lesson(events: Histories, chosen: I8, event_dropout: float, rng: np.random.Generator) -> Lesson:
    """Segments as one batch, each event left out of it with probability `event_dropout`; gaps are those that remain.

    What the start token predicts is learned at the beginning of a history only: in the middle of one, that nothing is known
    would be a lie.
    """
    sizes = chosen[:, 1] - chosen[:, 0]
    inside = np.arange(int(sizes.max())) < sizes[:, None]
    kept = inside & (rng.random(inside.shape) >= event_dropout)
    return lesson_of(events, chosen, kept if kept.any() else inside)


def lesson_of(events: Histories, chosen: I8, kept: NDArray[np.bool_]) -> Lesson:
    """The same of the events that `kept` (b, longest segment) says; a segment of which nothing is kept has no row."""
    places = np.arange(kept.shape[1])
    rows = chosen[:, :1] + places
    order = np.argsort(~kept, axis=1, kind="stable")  # those kept to the left, in their order
    rows, counts = np.take_along_axis(rows, order, 1), kept.sum(axis=1)
    some = counts > 0
    rows, counts, chosen = rows[some], counts[some], chosen[some]
    valid = places < counts[:, None]
    rows = np.where(valid, rows, 0)
    items = np.where(valid, events.item[rows], -1).astype(np.int64)
    time = events.time_ms[rows]
    last = np.take_along_axis(time, counts[:, None] - 1, 1)[:, 0]
    # The last event of a segment is a target only: what would be asked after it is not known.
    inputs = np.where(places[:-1] < counts[:, None] - 1, items[:, :-1], -1)
    history = Batch(inputs, times_of(time[:, :-1], counts - 1, last), counts - 1)
    targets = items.copy()
    targets[events.start[chosen[:, 0]] != chosen[:, 0], 0] = -1
    return Lesson(history, targets)


def people(events: Histories) -> I8:
    """(p, 2) int64 rows [from, to): everybody's whole history."""
    first = np.flatnonzero(np.diff(events.start, prepend=-1))
    return np.stack((first, events.end[first]), axis=1).astype(np.int64)


def stretches(histories_of: I8, length: int, rng: np.random.Generator) -> I8:
    """(b, 2) int64 rows [from, to): of each history one stretch of at most `length` + 1 events, drawn; a short one is whole."""
    start, end = histories_of.T
    spare = np.maximum(end - start - (length + 1), 0)
    begin = start + rng.integers(0, spare + 1)
    return np.stack((begin, np.minimum(begin + length + 1, end)), axis=1)


def without_query_time(times: Times) -> Times:
    """The same, with each token what came *before* it: (b, t + 1) gaps since the item before, hours and weekdays of the tokens.

    So the newest item says nothing of when is asked; the first item has no gap.
    """
    gap, hour, weekday = (np.concatenate((each[:, :1], each[:, :-1]), axis=1) for each in times[:3])
    gap[:, :2] = NO_GAP
    hour[:, 0] = weekday[:, 0] = 0  # of the start token: anything that is always the same
    return Times(gap, hour, weekday, times.own_ms, times.own_ms)


def _gathered(events: Histories, first: I8, lengths: I8, now_ms: I8) -> Batch:
    width = int(lengths.max(initial=0))
    places = np.arange(width)
    valid = places < lengths[:, None]
    rows = np.where(valid, first[:, None] + places, 0)
    items = np.where(valid, events.item[rows], -1).astype(np.int64)
    return Batch(items, times_of(events.time_ms[rows], lengths, now_ms), lengths)

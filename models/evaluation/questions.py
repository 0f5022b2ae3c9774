"""What is asked: every first-time engagement from the warm-up mark on, and what was known just before it. Vectorised, pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.evaluation.contract import NEVER_MS, Known, Stream


class Histories(NamedTuple):
    """Who had what in which order: first engagements grouped by one side. Row r is `values[starts[r] : starts[r + 1]]`.

    The rows hold the whole stream. What is known before an event is a prefix of each; `Questions.history` says how long.
    """

    starts: I8
    values: I4


class Questions(NamedTuple):
    """q questions in time order; `(q,)` each. "Before" means at a smaller position of the stream."""

    at: I8
    """Position of the event in the stream."""
    user: I4
    item: I4
    """The target."""
    time_ms: I8
    seen_items: I4
    """Items seen in events before: exactly the items with smaller numbers."""
    seen_users: I4
    history: I4
    """Items the user had before."""
    engaged: I4
    """Users who had the target before."""
    known: NDArray[np.bool_]
    """The target was seen before or is in the catalogue; where it is not, nobody could have ranked it."""
    seen: NDArray[np.bool_]
    """The target was seen in an event before."""
    user_gap_ms: I8
    """Since the user's last event of any kind; `NEVER_MS` where there is none."""

    def take(self, index: I8) -> Questions:
        """The questions at these positions."""
        return Questions._make(column[index] for column in self)

    def evenly(self, limit: int) -> Questions:
        """At most `limit` of them, evenly spread from the first to the last; always the same ones."""
        if self.at.size <= limit:
            return self
        return self.take(np.linspace(0, self.at.size - 1, limit).astype(np.int64))


def warm_up_end(stream: Stream, share: float, stop: int | None = None) -> int:
    """The mark: how many events come before the question that follows on the first `share` of all questions before `stop`.

    Counted in first engagements, so that a repeated line moves nothing.
    """
    stop = stream.n_events if stop is None else stop
    firsts = np.flatnonzero(stream.first[:stop])
    before = int(share * firsts.size)
    return int(firsts[before]) if before < firsts.size else stop


def first_of_pairs(user: I4, item: I4, positive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) Whether an event is the first positive one of its user about its item; the events are in time order."""
    at = np.flatnonzero(positive)
    pair = user[at].astype(np.int64) << 32 | item[at].astype(np.int64)
    first = np.zeros(user.size, np.bool_)
    first[at[np.unique(pair, return_index=True)[1]]] = True
    return first


def histories(stream: Stream, n_users: int) -> Histories:
    """Items of each user, oldest first."""
    at = np.flatnonzero(stream.first)
    return _grouped(stream.user[at], stream.item[at], n_users)


def audiences(stream: Stream, n_items: int) -> Histories:
    """Users of each item, oldest first."""
    at = np.flatnonzero(stream.first)
    return _grouped(stream.item[at], stream.user[at], n_items)


def questions(stream: Stream, known: Known, start: int, stop: int | None = None) -> Questions:
    """The first engagements among the events `[start, stop)`, and what was known before each of them."""
    firsts = np.flatnonzero(stream.first)
    in_window = (firsts >= start) & (firsts < (stream.n_events if stop is None else stop))
    at = firsts[in_window]
    user, item, time_ms = stream.user[at], stream.item[at], stream.time_ms[at]
    seen_items, seen_users = _seen_before(stream.item)[at], _seen_before(stream.user)[at]
    seen = item < seen_items
    return Questions(
        at=at,
        user=user,
        item=item,
        time_ms=time_ms,
        seen_items=seen_items,
        seen_users=seen_users,
        history=earlier_of_same(stream.user[firsts])[in_window],
        engaged=earlier_of_same(stream.item[firsts])[in_window],
        known=seen | (known.listed_from_ms[item] <= time_ms),
        seen=seen,
        user_gap_ms=gaps(stream.user, stream.time_ms)[at],
    )


def earlier_of_same(keys: I4) -> I4:
    """(n,) How many of the entries before each one are equal to it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1) != 0)
    counts = np.arange(keys.size) - np.repeat(begins, np.diff(np.append(begins, keys.size)))
    found = np.empty(keys.size, np.int32)
    found[order] = counts
    return found


def _seen_before(numbers: I4) -> I4:
    """(n,) How many distinct numbers come before each entry; they were given by first appearance."""
    if not numbers.size:
        return numbers
    return np.concatenate(([0], np.maximum.accumulate(numbers)[:-1] + 1)).astype(np.int32)


def gaps(user: I4, time_ms: I8) -> I8:
    """(n,) int64: time since the same user's event before; `NEVER_MS` where there is none."""
    order = np.argsort(user, kind="stable")
    same = np.diff(user[order], prepend=-1) == 0
    gap = np.where(same, np.diff(time_ms[order], prepend=0), NEVER_MS)
    found = np.empty(user.size, np.int64)
    found[order] = gap
    return found


def _grouped(by: I4, values: I4, n_groups: int) -> Histories:
    order = np.argsort(by, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(by, minlength=n_groups))))
    return Histories(starts.astype(np.int64), values[order].astype(np.int32))

"""Which items are worth scoring for a user: neighbours of the recent items, what is near by text, what the sequence model
expects, what leads by trend or popularity, what is new. Bounded work, however many neighbours the history has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled, compiled_part
from models.items.rows import smallest
from models.ranking.features import FORWARD, HOUR, SCALES, ItemArrays, Question, norm, place_weights

_BUCKETS = 1024


class Proposed(NamedTuple):
    """What is proposed beside the neighbours of the history."""

    common: I4
    """(c,) int32: to everyone."""
    near: I4
    """(u, n) int32: by text, -1 pads."""
    sequence: I4
    """(u, m) int32: by the sequence model, -1 pads."""
    sequence_value: F4
    """(u, m) float32: what it says of each; 0 of every other item."""

    def take(self, users: slice) -> Proposed:
        """Of these users."""
        return Proposed(self.common, self.near[users], self.sequence[users], self.sequence_value[users])


class Candidates(NamedTuple):
    """Candidates of u users in compressed rows, c in all; each user's are distinct and may be listed."""

    start: I8
    """(u + 1,) int64: user i's are `item[start[i] : start[i + 1]]`."""
    item: I4
    """(c,) int32."""
    near: F8
    """(c, S) float64: the sums of `models.ranking.features` at each scale."""
    sequence: F4
    """(c,) float32."""
    category: F8
    """(c,) float64, 0 until `models.ranking.affinity` says otherwise."""


class _Scratch(NamedTuple):
    """Of every item, valid where `stamp` says that it was written for this user; so nothing is cleared between users."""

    near: F8
    """(n, S), without N(j)."""
    stamp: I8
    slot: I8
    """Where among all candidates it stands, if it was taken."""
    touched: I4
    """The neighbours met, in that order."""
    counted: F8
    norms: F8
    """N(j) of an item counted so often."""
    total: F8
    """Of each one touched, the sum over all scales."""


class GatherScratch:
    """Kept between calls of `gather`, so that a large catalogue costs no more than a small one. Of one thread."""

    def __init__(self) -> None:
        self._arrays = _scratch(0)
        self._stamp = 0

    def arrays(self, size: int) -> _Scratch:
        """For so many items."""
        if size > len(self._arrays.stamp):
            self._arrays, self._stamp = _scratch(1 << (size - 1).bit_length()), 0
        return self._arrays

    def stamps(self, users: int) -> int:
        """The first of numbers for so many users that were not given out before."""
        first = self._stamp
        self._stamp += 3 * users + 3
        return first


def _scratch(size: int) -> _Scratch:
    return _Scratch(
        np.empty((size, len(SCALES))),
        np.zeros(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int32),
        np.full(size, -1.0),
        np.zeros(size),
        np.empty(size),
    )


def gather(
    question: Question,
    items: ItemArrays,
    proposed: Proposed,
    neighbours_limit: int,
    scratch: GatherScratch | None = None,
) -> Candidates:
    """Candidates of every user, with how near they are to the history.

    Of the neighbours of the history the nearest `neighbours_limit` stay, by the sum over all scales; everything proposed
    stays. What is excluded or not recommendable is never among them. A user's candidates do not depend on the others.
    """
    users, size = len(question.history), len(items.count)
    each = min(neighbours_limit, size) + len(proposed.common) + proposed.near.shape[1] + proposed.sequence.shape[1]
    room = users * min(each, size)
    found = Candidates(
        np.zeros(users + 1, np.int64),
        np.empty(room, np.int32),
        np.empty((room, len(SCALES))),
        np.zeros(room, np.float32),
        np.zeros(0),
    )
    scratch = GatherScratch() if scratch is None else scratch
    _gather(question, items, proposed, neighbours_limit, found, scratch.arrays(size), scratch.stamps(users))
    end = int(found.start[-1])
    return Candidates(found.start, found.item[:end], found.near[:end], found.sequence[:end], np.zeros(end))


@compiled
def _gather(
    question: Question,
    items: ItemArrays,
    proposed: Proposed,
    limit: int,
    found: Candidates,
    scratch: _Scratch,
    first_stamp: int,
) -> None:
    # Loops over items take arrays one by one: a tuple of arrays costs two atomic counts an array at every call.
    size, recommendable = len(items.count), items.recommendable
    stamp, slot, touched, sums = scratch.stamp, scratch.slot, scratch.touched, scratch.near
    norms = scratch.norms
    item, near, sequence = found.item, found.near, found.sequence
    counts = np.empty((question.history.shape[1], len(SCALES)))
    end = 0
    for u in range(len(question.history)):
        out, seen, taken = first_stamp + 3 * u + 1, first_stamp + 3 * u + 2, first_stamp + 3 * u + 3
        for k in range(question.excluded.shape[1]):
            if 0 <= question.excluded[u, k] < size:
                stamp[question.excluded[u, k]] = out
        place_weights(question, u, size, counts)
        n = _accumulate(
            question.history[u], counts, items.count, scratch.counted, norms, items.neighbour_row, items.neighbours,
            items.weights, items.forwards, recommendable, sums, stamp, touched, scratch.total, out, seen,
        )  # fmt: skip
        n = _nearest(items.hashes, scratch.total, touched, n, limit)
        for i in range(n):
            end = _append(touched[i], sums, norms, stamp, slot, taken, item, near, end)
        for k in range(len(proposed.common)):
            j = proposed.common[k]
            if _may_be_taken(j, recommendable, stamp, out, taken):
                end = _take(j, sums, norms, stamp, slot, seen, taken, item, near, end)
        for k in range(proposed.near.shape[1]):
            j = proposed.near[u, k]
            if _may_be_taken(j, recommendable, stamp, out, taken):
                end = _take(j, sums, norms, stamp, slot, seen, taken, item, near, end)
        for k in range(proposed.sequence.shape[1]):
            j = proposed.sequence[u, k]
            if _may_be_taken(j, recommendable, stamp, out, taken):
                end = _take(j, sums, norms, stamp, slot, seen, taken, item, near, end)
            if 0 <= j < size and stamp[j] == taken:
                sequence[slot[j]] = proposed.sequence_value[u, k]
        found.start[u + 1] = end


@compiled_part
def _accumulate(
    history: I4,
    counts: F8,
    count: F8,
    counted: F8,
    norms: F8,
    neighbour_row: I4,
    neighbours: I4,
    weights: F8,
    forwards: F8,
    recommendable: NDArray[np.bool_],
    near: F8,
    stamp: I8,
    touched: I4,
    total: F8,
    out: int,
    seen: int,
) -> int:
    """Number of items touched: the neighbours of the history that may be listed, with their sums."""
    n = 0
    for q in range(len(counts)):
        # Few scales reach far back: where the others end, they are left out.
        fast = counts[q, 0] != 0.0 or counts[q, 1] != 0.0 or counts[q, FORWARD] != 0.0
        hour = counts[q, HOUR] != 0.0
        if not (fast or hour) and counts[q, 2] == 0.0 and counts[q, 3] == 0.0:
            continue
        h = history[q]
        row, scale = neighbour_row[h], norm(count[h])
        for k in range(neighbours.shape[1]):
            j = neighbours[row, k]
            if j < 0:
                break
            if stamp[j] != seen:
                if stamp[j] == out or not recommendable[j]:
                    continue
                stamp[j] = seen
                for s in range(len(SCALES)):
                    near[j, s] = 0.0
                touched[n] = j
                n += 1
            both = weights[row, k] * scale
            near[j, 2] += counts[q, 2] * both
            near[j, 3] += counts[q, 3] * both
            if hour:
                near[j, HOUR] += counts[q, HOUR] * both
            if fast:
                near[j, 0] += counts[q, 0] * both
                near[j, 1] += counts[q, 1] * both
                near[j, FORWARD] += counts[q, FORWARD] * forwards[row, k] * scale
    for i in range(n):
        j = touched[i]
        if counted[j] != count[j]:  # a root costs more than to look whether it is still the same
            counted[j], norms[j] = count[j], norm(count[j])
        summed = 0.0
        for s in range(len(SCALES)):
            summed += near[j, s]
        total[i] = summed * norms[j]
    return n


@compiled_part
def _nearest(hashes: NDArray[np.uint64], total: F8, touched: I4, n: int, limit: int) -> int:
    """Move the `limit` nearest of the n touched items to the front; of equal ones the lower hash. How many those are."""
    if n <= limit:
        return n
    if limit == 0:
        return 0
    sums = total[:n]
    bar = _largest(sums, limit)
    equal, m, kept = np.empty(n, np.int32), 0, 0
    for i in range(n):
        if sums[i] > bar:
            touched[kept] = touched[i]
            kept += 1
        elif sums[i] == bar:
            equal[m] = touched[i]
            m += 1
    by_hash = np.empty(m, np.uint64)
    for i in range(m):
        by_hash[i] = hashes[equal[i]]
    last = smallest(by_hash, limit - kept - 1)
    for i in range(m):
        if hashes[equal[i]] <= last:
            touched[kept] = equal[i]
            kept += 1
    return limit


@compiled_part
def _largest(values: F8, rank: int) -> float:
    """The value of this rank, from 1 for the largest, of more than so many.

    One counting pass by the leading bits of single precision, whose order is theirs, leaves a few for the selection: these sums
    spread over several powers of two.
    """
    keys = values.astype(np.float32).view(np.int32)
    low, high = np.int64(2**31), np.int64(-(2**31))
    for i in range(len(keys)):
        if keys[i] < 0:
            keys[i] = -(keys[i] & np.int32(0x7FFFFFFF))
        low, high = min(low, np.int64(keys[i])), max(high, np.int64(keys[i]))
    shift = 0
    while (high - low) >> shift >= _BUCKETS:
        shift += 1
    counted = np.zeros(_BUCKETS, np.int64)
    for i in range(len(keys)):
        counted[(np.int64(keys[i]) - low) >> shift] += 1
    bucket, above = _BUCKETS - 1, 0
    while above + counted[bucket] < rank:
        above += counted[bucket]
        bucket -= 1
    within, n = np.empty(counted[bucket]), 0
    for i in range(len(keys)):
        if (np.int64(keys[i]) - low) >> shift == bucket:
            within[n] = values[i]
            n += 1
    return float(smallest(within, n - (rank - above)))


@compiled_part
def _append(j: int, sums: F8, norms: F8, stamp: I8, slot: I8, taken: int, item: I4, near: F8, end: int) -> int:
    stamp[j] = taken
    slot[j] = end
    item[end] = j
    for s in range(near.shape[1]):
        near[end, s] = sums[j, s] * norms[j]
    return end + 1


@compiled_part
def _may_be_taken(j: int, recommendable: NDArray[np.bool_], stamp: I8, out: int, taken: int) -> bool:
    """Whether an item that was proposed may be listed and is not there already."""
    return bool(0 <= j < len(recommendable) and recommendable[j] and stamp[j] != out and stamp[j] != taken)


@compiled_part
def _take(j: int, sums: F8, norms: F8, stamp: I8, slot: I8, seen: int, taken: int, item: I4, near: F8, end: int) -> int:
    """Take an item that was proposed."""
    if stamp[j] != seen:
        for s in range(near.shape[1]):
            sums[j, s] = 0.0
    return _append(j, sums, norms, stamp, slot, taken, item, near, end)

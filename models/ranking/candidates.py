"""Which items are worth scoring for a user: neighbours of the recent items, what is near by text, what the sequence model
expects, what leads by trend or popularity, what is new. Bounded work, however many neighbours the history has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled
from models.ranking.features import FORWARD, SCALES, ItemArrays, Question, norm, place_weights


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


class _Scratch(NamedTuple):
    """Of every item, valid where `stamp` says that it was written for this user; so nothing is cleared between users."""

    near: F8
    """(n, S)."""
    stamp: I8
    slot: I8
    """Where among all candidates it stands, if it was taken."""
    touched: I4
    """The neighbours met, in that order."""


class _Stamps(NamedTuple):
    """What `stamp` says of an item for one user; any other number says nothing."""

    out: int
    seen: int
    taken: int


def gather(question: Question, items: ItemArrays, proposed: Proposed, neighbours_limit: int) -> Candidates:
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
    )
    scratch = _Scratch(
        np.empty((size, len(SCALES))), np.zeros(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int32)
    )
    _gather(question, items, proposed, neighbours_limit, found, scratch)
    end = int(found.start[-1])
    return Candidates(found.start, found.item[:end], found.near[:end], found.sequence[:end])


@compiled
def _gather(
    question: Question, items: ItemArrays, proposed: Proposed, limit: int, found: Candidates, scratch: _Scratch
) -> None:
    size = len(items.count)
    counts = np.empty((question.history.shape[1], len(SCALES)))
    end = 0
    for u in range(len(question.history)):
        stamps = _Stamps(3 * u + 1, 3 * u + 2, 3 * u + 3)
        for k in range(question.excluded.shape[1]):
            if 0 <= question.excluded[u, k] < size:
                scratch.stamp[question.excluded[u, k]] = stamps.out
        place_weights(question, u, size, counts)
        n = _accumulate(question, items, u, counts, scratch, stamps)
        end = _nearest(items, scratch, n, limit, stamps, found, end)
        for k in range(len(proposed.common)):
            end = _take(items, proposed.common[k], scratch, stamps, found, end)
        for k in range(proposed.near.shape[1]):
            end = _take(items, proposed.near[u, k], scratch, stamps, found, end)
        for k in range(proposed.sequence.shape[1]):
            j = proposed.sequence[u, k]
            end = _take(items, j, scratch, stamps, found, end)
            if 0 <= j < size and scratch.stamp[j] == stamps.taken:
                found.sequence[scratch.slot[j]] = proposed.sequence_value[u, k]
        found.start[u + 1] = end


@compiled
def _accumulate(question: Question, items: ItemArrays, u: int, counts: F8, scratch: _Scratch, stamps: _Stamps) -> int:
    """Number of items touched: the neighbours of the history that may be listed, with their sums, N(j) included."""
    near, stamp, touched = scratch.near, scratch.stamp, scratch.touched
    n = 0
    for q in range(len(counts)):
        used = False
        for s in range(len(SCALES)):
            used = used or counts[q, s] != 0.0
        if not used:
            continue
        h = question.history[u, q]
        scale = norm(items.count[h])
        for k in range(items.neighbours.shape[1]):
            j = items.neighbours[h, k]
            if j < 0:
                break
            if stamp[j] == stamps.out or not items.recommendable[j]:
                continue
            if stamp[j] != stamps.seen:
                stamp[j] = stamps.seen
                near[j, :] = 0.0
                touched[n] = j
                n += 1
            both = items.weights[h, k] * scale
            for s in range(FORWARD):
                near[j, s] += counts[q, s] * both
            near[j, FORWARD] += counts[q, FORWARD] * items.forwards[h, k] * scale
    for i in range(n):
        j = touched[i]
        scale = norm(items.count[j])
        for s in range(len(SCALES)):
            near[j, s] *= scale
    return n


@compiled
def _nearest(
    items: ItemArrays, scratch: _Scratch, n: int, limit: int, stamps: _Stamps, found: Candidates, end: int
) -> int:
    """Take the `limit` nearest of the n touched items; of equal ones the lower hash."""
    touched = scratch.touched
    if n <= limit:
        for i in range(n):
            end = _append(touched[i], scratch, stamps, found, end)
        return end
    if limit == 0:
        return end
    sums = np.empty(n)
    for i in range(n):
        sums[i] = scratch.near[touched[i]].sum()
    bar = np.partition(sums, n - limit)[n - limit]
    equal, m, room = np.empty(n, np.int32), 0, limit
    for i in range(n):
        if sums[i] > bar:
            end = _append(touched[i], scratch, stamps, found, end)
            room -= 1
        elif sums[i] == bar:
            equal[m] = touched[i]
            m += 1
    order = np.argsort(items.hashes[equal[:m]])
    for i in range(room):
        end = _append(equal[order[i]], scratch, stamps, found, end)
    return end


@compiled
def _append(j: int, scratch: _Scratch, stamps: _Stamps, found: Candidates, end: int) -> int:
    scratch.stamp[j] = stamps.taken
    scratch.slot[j] = end
    found.item[end] = j
    found.near[end] = scratch.near[j]
    return end + 1


@compiled
def _take(items: ItemArrays, j: int, scratch: _Scratch, stamps: _Stamps, found: Candidates, end: int) -> int:
    """Take an item that was proposed, unless it is there already or must not be listed."""
    if j < 0 or j >= len(items.count) or not items.recommendable[j]:
        return end
    if scratch.stamp[j] in (stamps.out, stamps.taken):
        return end
    if scratch.stamp[j] != stamps.seen:
        scratch.near[j, :] = 0.0
    return _append(j, scratch, stamps, found, end)

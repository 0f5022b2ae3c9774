"""A person's interest as plain numbers: what a behaviour is worth, how it fades, which items it makes recent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.arrays import F8, I8, U64
from models.compiled import compiled
from models.hashing import NO_ITEM

CANCELLED = 1e-6
"""Gains of one item whose sum is a smaller share than this of the sum of their sizes say nothing: the sum is 0.

What ten views bring and one dislike takes away is 0 in real numbers and some 1e-16 in floating point, whose sign depends on the
order of summing; divided by it, each behaviour's share of the item would be without meaning.
"""


class RecentItems(NamedTuple):
    """The distinct items of u users, newest first, and how much interest was shown in each."""

    items: NDArray[np.uint64]
    """(u, H) uint64 hashes, each once per row, padded with 0."""
    gains: NDArray[np.float64]
    """(u, H) float64: summed over the behaviours with the item; negative for a disliked one, 0 where they cancel
    (`CANCELLED`)."""
    position: NDArray[np.int64]
    """(u, R) int64: the column of `items` that each behaviour belongs to, -1 for none."""


def behaviour_gain(
    action_code: ArrayLike, dwell_ms: ArrayLike, strengths: ArrayLike, dwell_saturation_ms: float
) -> NDArray[np.float64]:
    """Interest shown by each behaviour: strength of its action x (1 + dwell / (dwell + saturation)), so at most twice.

    Args:
        action_code: any shape, int: position in `strengths`.
        dwell_ms: same shape, ms; 0, negative or NaN where it is not known: the strength alone counts.
        strengths: (actions,) float64; negative for a sign of dislike, 0 for no sign.
        dwell_saturation_ms: dwell at which half of the extra is reached.
    """
    dwell = np.asarray(dwell_ms, np.float64)
    dwell = np.where(dwell > 0, dwell, 0.0)
    gain: NDArray[np.float64] = np.asarray(strengths, np.float64)[np.asarray(action_code)]
    return gain * (1.0 + dwell / (dwell + dwell_saturation_ms))


def recent_items(
    items: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    gains: NDArray[np.float64],
    window: int,
) -> RecentItems:
    """The last `window` distinct items of each user and their gains.

    An item is as new as its newest behaviour, and its gain is the sum of the gains of all its behaviours here, added up from
    the newest one; within an item each behaviour's share is its gain over that sum. Behaviours without item or with gain 0
    are ignored. Of equal times the later column is the newer; otherwise the order of the columns does not matter.

    Args:
        items: (u, R) uint64 hashes, 0 = none.
        times_ms: (u, R) int64 event times.
        gains: (u, R) float64, from `behaviour_gain`.
        window: H, the width of the answer.
    """
    users, width = items.shape
    found = RecentItems(
        np.zeros((users, window), np.uint64), np.zeros((users, window)), np.full((users, width), -1, np.int64)
    )
    _find_recent(np.ascontiguousarray(items), np.ascontiguousarray(times_ms), np.ascontiguousarray(gains), *found)
    return found


@compiled
def _find_recent(items: U64, times_ms: I8, gains: F8, recent: U64, summed: F8, position: I8) -> None:
    newest, size = np.empty(items.shape[1], np.int64), np.empty(recent.shape[1])
    for u in range(len(items)):
        n = 0
        for b in range(
            items.shape[1] - 1, -1, -1
        ):  # behaviours mostly come in their order: this sorts what is nearly sorted
            if items[u, b] == NO_ITEM or gains[u, b] == 0.0:
                continue
            at = n
            while at > 0 and times_ms[u, newest[at - 1]] < times_ms[u, b]:
                newest[at] = newest[at - 1]
                at -= 1
            newest[at] = b
            n += 1
        places = 0
        for i in range(n):
            b, place = newest[i], 0
            while place < places and recent[u, place] != items[u, b]:
                place += 1
            if place == places:
                if places == recent.shape[1]:
                    continue
                recent[u, place], size[place] = items[u, b], 0.0
                places += 1
            summed[u, place] += gains[u, b]
            size[place] += abs(gains[u, b])
            position[u, b] = place
        for place in range(places):
            if abs(summed[u, place]) <= CANCELLED * size[place]:
                summed[u, place] = 0.0

"""A person's interest as plain numbers: what a behaviour is worth, how it fades, which items it makes recent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.hashing import NO_ITEM


class RecentItems(NamedTuple):
    """The distinct items of u users, newest first, and how much interest was shown in each."""

    items: NDArray[np.uint64]
    """(u, H) uint64 hashes, each once per row, padded with 0."""
    gains: NDArray[np.float64]
    """(u, H) float64: summed over the behaviours with the item; negative for a disliked one."""
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

    An item is as new as its newest behaviour, and its gain is the sum of the gains of all its behaviours here; within an
    item each behaviour's share is its gain over that sum. Behaviours without item or with gain 0 are ignored. Of equal
    times the later column is the newer; otherwise the order of the columns does not matter.

    Args:
        items: (u, R) uint64 hashes, 0 = none.
        times_ms: (u, R) int64 event times.
        gains: (u, R) float64, from `behaviour_gain`.
        window: H, the width of the answer.
    """
    users, width = items.shape
    counts = (items != NO_ITEM) & (gains != 0.0)
    # Newest first, ignored ones last. lexsort is stable, so reversing it puts the later column first among equals.
    newest = np.lexsort((times_ms, counts), axis=-1)[:, ::-1]
    item, counts = np.take_along_axis(items, newest, 1), np.take_along_axis(counts, newest, 1)
    item = np.where(counts, item, np.uint64(NO_ITEM))

    # Bring equal items together, still newest first: the first of each group stands for the item.
    grouped = np.argsort(item, axis=1, kind="stable")
    together = np.take_along_axis(item, grouped, 1)
    starts = np.ones((users, width), np.bool_)
    starts[:, 1:] = together[:, 1:] != together[:, :-1]
    leader = np.maximum.accumulate(np.where(starts, np.arange(width), 0), axis=1)
    leader_of = np.empty(
        (users, width), np.int64
    )  # column (in `newest` order) of the newest behaviour with the same item
    np.put_along_axis(leader_of, grouped, np.take_along_axis(grouped, leader, 1), 1)
    leads = counts & (leader_of == np.arange(width))
    rank = np.take_along_axis(np.cumsum(leads, axis=1) - 1, leader_of, 1)
    rank = np.where(counts & (rank < window), rank, -1)

    row, column = np.nonzero(rank >= 0)
    place = row * window + rank[row, column]
    gain = np.bincount(place, weights=gains[row, newest[row, column]], minlength=users * window)
    recent = np.zeros((users, window), np.uint64)
    recent.reshape(-1)[place] = item[row, column]
    position = np.empty((users, width), np.int64)
    np.put_along_axis(position, newest, rank, 1)
    return RecentItems(recent, gain.reshape(users, window).astype(np.float64), position)

"""Which items were shown and which of them were clicked, from a stream with impressions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.evaluation.contract import Stream


class Exposures(NamedTuple):
    """Impressions in the order of the stream, (m,) each."""

    at: I8
    """Position of the event."""
    slate: I8
    """Number of the list: what one user was shown at one time, in events that follow on each other."""
    clicked: NDArray[np.bool_]
    """A click of the same user on the same item came after it, within the window and before the item's next impression."""


def exposures(stream: Stream, impression: int, click: int, window_ms: int) -> Exposures:
    """Of an item that a list has twice only the first impression counts.

    Args:
        stream: the events.
        impression, click: their action codes.
        window_ms: how long after an impression a click still counts.
    """
    at = np.flatnonzero((stream.action == impression) & (stream.item >= 0))
    if not at.size:
        return Exposures(at, at, np.zeros(0, np.bool_))
    user, time_ms = stream.user[at], stream.time_ms[at]
    starts = np.append(True, (np.diff(at) != 1) | (np.diff(user) != 0) | (np.diff(time_ms) != 0))
    slate = np.cumsum(starts) - 1
    pairs = np.stack((slate, stream.item[at]), axis=1)
    once = np.sort(np.unique(pairs, axis=0, return_index=True)[1])
    at, slate = at[once], slate[once]
    return Exposures(at, slate, _clicked(stream, at, np.flatnonzero(stream.action == click), window_ms))


def _clicked(stream: Stream, at: I8, clicks: I8, window_ms: int) -> NDArray[np.bool_]:
    """(m,) bool: each click goes to the newest exposure of its user and item before it, if that is not too old."""
    pair = np.unique(stream.user.astype(np.int64) << 32 | stream.item.astype(np.int64), return_inverse=True)[1]
    key = pair * stream.n_events + np.arange(stream.n_events)  # by pair, and within one by position
    order = np.argsort(key[at])
    place = np.searchsorted(key[at][order], key[clicks]) - 1
    inside = place >= 0
    place, clicks = order[place[inside]], clicks[inside]
    same = (pair[at[place]] == pair[clicks]) & (stream.time_ms[clicks] - stream.time_ms[at[place]] <= window_ms)
    clicked = np.zeros(len(at), np.bool_)
    clicked[place[same]] = True
    return clicked

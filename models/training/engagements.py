"""First engagements of users with items, and the windows of time that they are cut into. Pure.

The past and what comes later are kept strictly apart: whatever is learned stays on its side of a window's edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.arrays import I4, I8


class Engagements(NamedTuple):
    """n first engagements of users with items, by user, then time; of one moment in the order of the file."""

    user: I4
    item: I4
    time_ms: I8


class Windows(NamedTuple):
    """Edges of train | validation | test, ms since the epoch; a window begins at its edge."""

    validation_ms: int
    test_ms: int


def engagements(user: I4, item: I4, time_ms: I8) -> Engagements:
    """The first engagement of each user with each item, sorted. Arrays are in file order; any order of time will do."""
    order = np.lexsort((time_ms, user))  # stable: file order breaks ties
    user, item, time_ms = user[order], item[order], time_ms[order]
    _, first = np.unique(user.astype(np.int64) << 32 | item.astype(np.int64), return_index=True)
    first.sort()
    return Engagements(user[first], item[first], time_ms[first])


def split(time_ms: I8, validation_share: float, test_share: float) -> Windows | None:
    """Edges such that the last two windows hold about these shares of `time_ms`; None if a window would be empty."""
    ordered = np.sort(time_ms)
    n = ordered.size
    at = int(n * (1 - validation_share - test_share)), int(n * (1 - test_share))
    if not n or not 0 < at[0] < at[1] < n:
        return None
    # Everything of one moment is on one side: a basket is not torn apart.
    windows = Windows(int(ordered[at[0]]), int(ordered[at[1]]))
    return windows if ordered[0] < windows.validation_ms < windows.test_ms else None


def between(events: Engagements, start_ms: int | None, end_ms: int | None) -> Engagements:
    """Those in [start, end)."""
    inside = np.ones(events.time_ms.size, np.bool_)
    if start_ms is not None:
        inside &= events.time_ms >= start_ms
    if end_ms is not None:
        inside &= events.time_ms < end_ms
    return Engagements(events.user[inside], events.item[inside], events.time_ms[inside])

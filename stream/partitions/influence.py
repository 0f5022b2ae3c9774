"""How much one user may say of items in a day: popularity, trends and what goes together are everybody's, and not for sale.

A first engagement is the first one that a user's ring of 64 behaviours remembers; whoever goes round 65 items is new to each of
them for ever. Beyond a bound such engagements still change their user's own state, and count for no item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.calendar import DAY_MS

_SLOTS: Final = 1 << 16
"""Of a count for each user, by hash: two users may share one, which matters to nobody who does not come near the bound."""


class Influence:
    """Of the users of one partition, within one day of events."""

    def __init__(self, per_day: int) -> None:
        """`per_day`: engagements of one user that count; 0 = all."""
        self._per_day = per_day
        self._counts = np.zeros(_SLOTS, np.int64)
        self._day = 0

    def counted(self, users: Sequence[bytes], times_ms: I8) -> NDArray[np.bool_]:
        """(m,) which of these engagements count, in their order."""
        counted = np.ones(len(users), np.bool_)
        if not self._per_day or not len(users):
            return counted
        day = int(times_ms.max()) // DAY_MS
        if day > self._day:
            self._day = day
            self._counts[:] = 0
        slots = np.fromiter((hash(user) & (_SLOTS - 1) for user in users), np.int64, len(users))
        before = self._counts[slots]
        np.add.at(self._counts, slots, 1)
        near = np.flatnonzero(self._counts[slots] > self._per_day)
        if len(near):
            order = _place_among_equals(slots[near])
            counted[near] = before[near] + order < self._per_day
        return counted


def _place_among_equals(values: I8) -> I8:
    """(m,): how many equal ones stand before each."""
    order = np.argsort(values, kind="stable")
    run = np.flatnonzero(np.diff(values[order], prepend=-1))
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values)) - np.repeat(run, np.diff(np.append(run, len(values))))
    return place

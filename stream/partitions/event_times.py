"""Event times as item statistics count them: no single event may own the oldest or the newest time of an item.

Times are the producers' to say, and a few are wrong: a phone whose clock stands at 2000 or a day ahead, a broker that took a
timestamp of 2099. A person's own state keeps every time as it was said, since it concerns nobody else.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.arrays import I8

RECENT_EVENTS: Final = 101
FEW_EVENTS: Final = 20
"""Fewer say nothing of what is usual."""

LATE_MAX_MS: Final = 30 * 86_400_000
"""How much earlier than the usual recent event an event counts at most."""

FOREVER_MS: Final = 2**62


class EventTimes:
    """Of one partition: the times of its last events, which say what is usual, also while a long past is replayed."""

    def __init__(self) -> None:
        self._recent_ms = np.zeros(0, np.int64)

    def told(self, time_ms: I8, timestamp_ms: I8, now_ms: int) -> I8:
        """The times (n,) of a chunk's events, ms, as they are to be counted.

        Nothing can have happened after its record was written, or after now; and what is `LATE_MAX_MS` older than the median of
        the last events counts as that old.

        Args:
            time_ms: as the events say.
            timestamp_ms: of their Kafka records; below 0 where a record has none.
            now_ms: the wall clock.
        """
        latest = np.minimum(np.where(timestamp_ms < 0, now_ms, timestamp_ms), now_ms)
        told = np.minimum(time_ms, latest)
        if len(self._recent_ms) >= FEW_EVENTS:
            told = np.maximum(told, int(np.median(self._recent_ms)) - LATE_MAX_MS)
        self._recent_ms = np.concatenate([self._recent_ms, told[-RECENT_EVENTS:]])[-RECENT_EVENTS:]
        return told

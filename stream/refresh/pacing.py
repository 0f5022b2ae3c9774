"""When those have their turn who wait for no event of their own. Pure: time is given.

Lists that are only aged, or that the catalogue or a model changed, are made when no user with an event waits, and in a small
share of the time beside it, so that they are made at all under any load. Their batches are small: an event that comes meanwhile
waits for one of them.

Batches of users with events are as large as the queue allows. Smaller ones within a budget of time would be fresher if a batch
cost little by itself; with text it costs as much as several lists, and batches of one or two then made all of them late (on the
demo the median rose from 0.1 s to 1.8 s).
"""

from __future__ import annotations

from typing import Final

OTHERS_SHARE: Final = 0.02
"""Of all time, for others although users with events wait."""

OTHERS_BURST_S: Final = 0.005
"""So much of that time can be saved up: more would come at once, just when users with events begin to wait."""

OTHERS_BATCHES: Final = 4
"""Batches of others are so many times smaller."""


class Pacing:
    """Of one worker. `now` is a monotonic clock, s."""

    def __init__(self, max_users: int, now: float) -> None:
        self.users = max_users
        """Most users with events in a batch."""
        self.others = max(1, max_users // OTHERS_BATCHES)
        """Most others in a batch."""
        self._saved_s, self._saved_at = OTHERS_BURST_S, now

    def is_others_turn(self, now: float) -> bool:
        """Whether the next batch is for others although users with events wait."""
        self._saved_s = min(OTHERS_BURST_S, self._saved_s + OTHERS_SHARE * max(0.0, now - self._saved_at))
        self._saved_at = max(now, self._saved_at)
        return self._saved_s > 0.0

    def others_took(self, seconds: float) -> None:
        """A batch that others had on their turn took so long."""
        self._saved_s -= seconds

"""Who is served next, by queue, pacing and deadline together: all that a worker decides about turns. Pure: time is given.

1. Users with events, in the order in which they came, as long as their lists can be in time.
2. Users who are owed a list because theirs could not be.
3. Others: aged lists, and those that the catalogue or a model changed. They also have a small share of all time.
"""

from __future__ import annotations

from stream.refresh.pacing import Pacing
from stream.refresh.patience import Patience
from stream.refresh.queue import Batch, RefreshQueue


class Scheduler:
    """Of one worker. `now` is a monotonic clock, s."""

    def __init__(self, queue: RefreshQueue, max_users: int, deadline_s: float, now: float) -> None:
        """`deadline_s` 0: no list is ever late."""
        self._queue = queue
        self._pacing, self._patience = Pacing(max_users, now), Patience(deadline_s)
        self._others_first = False
        self.late_lists = 0
        """Times that a user became owed a list, so far."""

    def next_batch(self, now: float) -> Batch | None:
        """Take the next users off the queue; None when nobody is due."""
        queue, pacing = self._queue, self._pacing
        since = queue.events_waiting_since()
        allowed_s = self._patience.allowed_s(None if since is None else now - since, now)
        self.late_lists += queue.owe(now - allowed_s)
        self._others_first = (queue.has_events or queue.has_owed) and pacing.is_others_turn(now)
        return queue.next_batch(pacing.users, pacing.others, others_first=self._others_first)

    def took(self, batch: Batch, seconds: float) -> None:
        """The lists of the last batch took so long."""
        if self._others_first and batch.is_of_others:
            self._pacing.others_took(seconds)

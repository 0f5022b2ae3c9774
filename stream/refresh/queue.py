"""Who is due for a fresh list: users in the order in which they have been waiting, each once however many events came.

Pure: no clock, no I/O. Also knows, per partition, the oldest event that no published list reflects yet: source offsets
must not be committed beyond it, or a crash would lose that answer. Users whose list is late are owed one instead, which is
remembered with their state: `owed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice, takewhile
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.refresh.owed import Mark, OwedLists
from stream.wire.records import Trigger


class Due(msgspec.Struct, gc=False):
    """One user waiting for a list. Python does not look for garbage in it: a queue may hold a million."""

    key: bytes
    first_offset: int | None
    """Oldest event not yet reflected; None where the cause was no event."""
    last_offset: int
    """Newest one, -1 where the cause was no event; its event time and Kafka timestamp follow, ms."""
    event_time_ms: int
    oldest_timestamp_ms: int
    """Kafka timestamp of the oldest event waiting; -1 where it has none."""
    waiting_since: float
    """In the caller's monotonic seconds."""
    trigger: Trigger
    owed_since_ms: int | None = None
    """Kafka timestamp of the oldest event that this list is too late for; None where it is late for none."""


class Batch(NamedTuple):
    """Users of one partition to rank together, longest waiting first."""

    partition: int
    due: list[Due]
    is_of_others: bool = False
    """Whether they wait for another reason than an event."""


class RefreshQueue:
    """Three FIFOs per partition: users with new events, users who are owed a list, and users due for another reason (a
    withdrawn item, say).

    `next_batch` serves the partition whose head has waited longest. A user is in one FIFO at most.
    """

    def __init__(self) -> None:
        self._events: dict[int, dict[bytes, Due]] = {}
        self._owed: dict[int, OwedLists] = {}
        self._others: dict[int, dict[bytes, Due]] = {}

    def __len__(self) -> int:
        waiting = sum(len(queue) for queues in (self._events, self._others) for queue in queues.values())
        return waiting + sum(owed.n_idle for owed in self._owed.values())

    def add_events(
        self,
        partition: int,
        keys: Sequence[bytes],
        rows: NDArray[np.int64],
        offset: NDArray[np.int64],
        event_time_ms: NDArray[np.int64],
        timestamp_ms: NDArray[np.int64],
        now: float,
    ) -> None:
        """Events of a chunk were applied (or met again after a crash); one step per user of it.

        Offsets of a partition come in order. `rows` tells users apart; each array is `(n,)`.
        """
        order = np.argsort(rows, kind="stable")
        starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
        first, last = order[starts], order[np.append(starts[1:], len(order)) - 1]
        in_turn = np.argsort(first)
        first, last = first[in_turn], last[in_turn]
        queue, others = self._events.setdefault(partition, {}), self._others.get(partition, {})
        owed = self._owed.get(partition)
        for i, oldest, newest, timestamp, time_ms in zip(
            first.tolist(),
            offset[first].tolist(),
            offset[last].tolist(),
            timestamp_ms[first].tolist(),
            event_time_ms[last].tolist(),
            strict=True,
        ):
            key = keys[i]
            due = queue.get(key)
            if due is None:
                queue[key] = Due(key, oldest, newest, time_ms, timestamp, now, "event")
                if others:
                    others.pop(key, None)
                if owed is not None:
                    owed.has_event(key)
            elif newest > due.last_offset:
                due.last_offset, due.event_time_ms = newest, time_ms

    def add(self, partition: int, key: bytes, trigger: Trigger, now: float) -> None:
        """`key` needs a list for another reason than an event; nothing happens if it is waiting already."""
        if key not in self._events.get(partition, {}) and key not in self._owed.get(partition, ()):
            self._others.setdefault(partition, {}).setdefault(key, Due(key, None, -1, 0, 0, now, trigger))

    # --- whose turn it is ---

    def next_batch(self, max_users: int, max_others: int | None = None, *, others_first: bool = False) -> Batch | None:
        """Take users of one partition off the queue: with events, else those who are owed a list, else others; None when nobody
        is due.

        Args:
            max_users: most users with events, or owed a list, in it.
            max_others: most others, where it is of those; None = as many.
            others_first: others have their turn even if the rest waits.
        """
        of_others = partial(self._next_of, self._others, max_users if max_others is None else max_others)
        in_turn = [partial(self._next_of, self._events, max_users), partial(self._next_owed, max_users)]
        in_turn.insert(0 if others_first else 2, of_others)
        return next((batch for take in in_turn if (batch := take()) is not None), None)

    def _next_of(self, queues: dict[int, dict[bytes, Due]], limit: int) -> Batch | None:
        heads = [(next(iter(queue.values())).waiting_since, p) for p, queue in queues.items() if queue]
        if not heads:
            return None
        partition = min(heads)[1]
        queue = queues[partition]
        taken = [queue.pop(key) for key in list(islice(queue, limit))]
        if queues is self._events and (owed := self._owed.get(partition)) is not None:
            for due in taken:
                due.owed_since_ms = owed.settle(due.key)
        return Batch(partition, taken, is_of_others=queues is self._others)

    def _next_owed(self, limit: int) -> Batch | None:
        heads = [(since, p) for p, owed in self._owed.items() if (since := owed.waiting_since) is not None]
        if not heads:
            return None
        partition = min(heads)[1]
        owed = self._owed[partition]
        late = list(owed.first(limit))
        return Batch(partition, [Due(key, None, -1, 0, 0, since, "event", owed.settle(key)) for key, since in late])

    # --- lists that are late ---

    def owe(self, before: float) -> int:
        """Users with events who have waited since before this moment are owed a list from now on; how many."""
        n_late = 0
        for partition, queue in self._events.items():
            # Looked at in one go: the first of a dictionary is the slower to find the more were taken from its front.
            late = list(takewhile(lambda due: due.waiting_since < before, queue.values()))
            if late:
                owed = self._owed.setdefault(partition, OwedLists())
                for due in late:
                    del queue[due.key]
                    owed.owe(due.key, due.oldest_timestamp_ms, due.waiting_since)
            n_late += len(late)
        return n_late

    def restore_owed(self, partition: int, key: bytes, since_ms: int, now: float) -> None:
        """The partition's last owner left this user owed a list."""
        has_event = key in self._events.get(partition, {})
        self._owed.setdefault(partition, OwedLists()).restore(key, since_ms, now, has_event=has_event)
        if key in self._owed[partition]:
            self._others.get(partition, {}).pop(key, None)

    def take_marks(self, partition: int) -> list[Mark]:
        """What has changed of who is owed a list since the last call: the commit writes it with the offset that it allows."""
        owed = self._owed.get(partition)
        return [] if owed is None else owed.take_marks()

    @property
    def owed_users(self) -> int:
        """Users who are owed a list, those with a new event among them."""
        return sum(map(len, self._owed.values()))

    @property
    def owed_since_ms(self) -> int | None:
        """Kafka timestamp of the event that has been without a list for longest, about; None where nobody waits for that, or
        that event has none."""
        oldest = (owed.oldest_ms for owed in self._owed.values())
        return min((since for since in oldest if since is not None and since >= 0), default=None)

    # --- what waits ---

    @property
    def has_events(self) -> bool:
        """Whether a user with an event waits."""
        return any(self._events.values())

    @property
    def has_owed(self) -> bool:
        """Whether a user waits for an idle moment because their list is late."""
        return any(owed.n_idle for owed in self._owed.values())

    @property
    def event_users(self) -> int:
        """Users with an event who wait for their list, without those who are owed it."""
        return sum(map(len, self._events.values()))

    def oldest_offset(self, partition: int) -> int | None:
        """Oldest event of the partition that no published list reflects; None when there is none.

        Events enter in offset order, so it stands at the head.
        """
        queue = self._events.get(partition)
        return next(iter(queue.values())).first_offset if queue else None

    def waiting_in(self, partitions: Sequence[int]) -> int:
        """Users of these partitions who wait for a list because of an event, in time or late."""
        waiting = sum(len(self._events.get(partition, ())) for partition in partitions)
        return waiting + sum(owed.n_idle for partition in partitions if (owed := self._owed.get(partition)) is not None)

    def events_waiting_since(self) -> float | None:
        """When the longest-waiting user with an event entered; None when there is none."""
        return _oldest(self._events)

    def oldest_waiting_since(self) -> float | None:
        """When the longest-waiting user entered, of those whose list is not late yet; None when there is none."""
        return min((at for at in map(_oldest, (self._events, self._others)) if at is not None), default=None)

    def drop(self, partition: int, key: bytes) -> None:
        """The user is not to have a list."""
        for queues in (self._events, self._others):
            queues.get(partition, {}).pop(key, None)
        if (owed := self._owed.get(partition)) is not None:
            owed.settle(key)

    def forget(self, partition: int) -> None:
        """The partition is another worker's now; its next owner reads again what was not committed."""
        self._events.pop(partition, None)
        self._owed.pop(partition, None)
        self._others.pop(partition, None)


def _oldest(queues: dict[int, dict[bytes, Due]]) -> float | None:
    return min((next(iter(queue.values())).waiting_since for queue in queues.values() if queue), default=None)

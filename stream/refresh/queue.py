"""Who is due for a fresh list: users in the order in which they have been waiting, each once however many events came.

Pure: no clock, no I/O. Also knows, per partition, the oldest event that no published list reflects yet: source offsets
must not be committed beyond it, or a crash would lose that answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.wire.records import Trigger


@dataclass(slots=True)
class Due:
    """One user waiting for a list."""

    key: bytes
    first_offset: int | None
    """Oldest event not yet reflected; None where the cause was no event."""
    last_offset: int
    """Newest one, -1 where the cause was no event; its event time and Kafka timestamp follow, ms."""
    event_time_ms: int
    oldest_timestamp_ms: int
    """Kafka timestamp of the oldest event waiting."""
    waiting_since: float
    """In the caller's monotonic seconds."""
    trigger: Trigger


class Batch(NamedTuple):
    """Users of one partition to rank together, longest waiting first."""

    partition: int
    due: list[Due]
    of_events: bool = True
    """False: they wait for another reason than an event."""


class RefreshQueue:
    """Two FIFOs per partition: users with new events, and users due for another reason (a withdrawn item, say).

    `next_batch` serves the partition whose head has waited longest. A user is in one FIFO at most.
    """

    def __init__(self) -> None:
        self._events: dict[int, dict[bytes, Due]] = {}
        self._others: dict[int, dict[bytes, Due]] = {}

    def __len__(self) -> int:
        return sum(len(queue) for queues in (self._events, self._others) for queue in queues.values())

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
            elif newest > due.last_offset:
                due.last_offset, due.event_time_ms = newest, time_ms

    def add(self, partition: int, key: bytes, trigger: Trigger, now: float) -> None:
        """`key` needs a list for another reason than an event; nothing happens if it is waiting already."""
        if key not in self._events.get(partition, {}):
            self._others.setdefault(partition, {}).setdefault(key, Due(key, None, -1, 0, 0, now, trigger))

    def next_batch(self, max_users: int, max_others: int | None = None, *, others_first: bool = False) -> Batch | None:
        """Take users of one partition off the queue; None when nobody is due.

        Args:
            max_users: most users with events in it.
            max_others: most others, where it is of those; None = as many.
            others_first: others have their turn even if users with events wait.
        """
        limits = ((self._events, max_users), (self._others, max_users if max_others is None else max_others))
        for queues, limit in reversed(limits) if others_first else limits:
            heads = [(next(iter(queue.values())).waiting_since, p) for p, queue in queues.items() if queue]
            if heads:
                partition = min(heads)[1]
                queue = queues[partition]
                return Batch(partition, [queue.pop(key) for key in list(islice(queue, limit))], queues is self._events)
        return None

    def events_waiting_since(self) -> float | None:
        """When the longest-waiting user with an event entered; None when there is none."""
        return min((next(iter(queue.values())).waiting_since for queue in self._events.values() if queue), default=None)

    def oldest_offset(self, partition: int) -> int | None:
        """Oldest event of the partition that no published list reflects; None when there is none.

        Events enter in offset order, so it stands at the head.
        """
        queue = self._events.get(partition)
        return next(iter(queue.values())).first_offset if queue else None

    def oldest_waiting_since(self) -> float | None:
        """When the longest-waiting user entered; None when nobody is due."""
        queues = [queue for queues in (self._events, self._others) for queue in queues.values() if queue]
        return min((next(iter(queue.values())).waiting_since for queue in queues), default=None)

    def forget(self, partition: int) -> None:
        """The partition is another worker's now; its next owner reads again what was not committed."""
        self._events.pop(partition, None)
        self._others.pop(partition, None)

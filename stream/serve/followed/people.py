"""The states of people, from the changelog: what a worker has committed, to the byte."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import numpy as np

from stream.kafka.replica import Replicated
from stream.serve.followed.table import FollowedTable
from stream.state.record import States, last_event_ms

REMEMBERED: Final = 1_000
"""People who were active lately."""

FIRST_OTHER_KEY: Final = b"\xf5"
"""From here on keys are no user's, no UTF-8 begins so: marks, ledgers, totals of a partition, which nobody asks for here."""


class FollowedPeople:
    """Packed states by user id."""

    def __init__(self, table: FollowedTable, on_gone: Callable[[list[bytes]], None] = lambda _: None) -> None:
        """`on_gone` is called in the follower's thread with those who were forgotten (`user_ttl_days`)."""
        self._table, self._on_gone = table, on_gone
        self._lately: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()
        self.arrived = 0.0
        """When a state came last, by a monotonic clock; 0: none has."""

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.follower.Taker`."""
        return self._table.position(partition)

    def take(self, partition: int, records: list[Replicated]) -> None:
        """See `stream.kafka.follower.Taker`."""
        newest = {r.key: r.value for r in records if r.key and r.key < FIRST_OTHER_KEY}
        self._table.write(partition, newest.items(), records[-1].offset + 1)
        if gone := [user for user, value in newest.items() if value is None]:
            self._on_gone(gone)
        self.arrived = time.monotonic()
        with self._lock:
            for user, value in newest.items():
                self._lately.pop(user, None)
                seen_ms = None if value is None else last_event_ms(value)
                if seen_ms is not None:
                    self._lately[user] = seen_ms
            while len(self._lately) > REMEMBERED:
                self._lately.popitem(last=False)

    def begin_anew(self) -> None:
        """See `stream.kafka.follower.Taker`."""
        self._table.drop_all()
        with self._lock:
            self._lately.clear()

    def lately(self, n: int) -> list[tuple[str, int]]:
        """Who was active lately and when, event time in ms; who came last first."""
        with self._lock:
            newest = list(reversed(self._lately.items()))[:n]
        return [(user.decode(errors="replace"), seen_ms) for user, seen_ms in newest]

    def knows(self, user: bytes) -> bool:
        """Whether there is a state of this person."""
        return user < FIRST_OTHER_KEY and self._table.get(user) is not None

    def load(self, user: bytes, states: States) -> bool:
        """Their state into row 0; whether there is one.

        Raises:
            CorruptStateError: what is stored cannot be read.
        """
        states.clear(0)
        value = self._table.get(user) if user < FIRST_OTHER_KEY else None
        if value is None:
            return False
        states.unpack(np.zeros(1, np.int64), [value])
        return True

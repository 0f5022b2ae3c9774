"""Users of one partition who are owed a list: it could not be made in time, and no event of theirs holds back a commit for it.

Pure: no clock, no I/O. A user is owed one from the moment when it is late until it has been made. Meanwhile they wait for an
idle moment, or with a new event among those who have one; the mark stays in either case, so a crash at any moment leaves them
owed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple


class Mark(NamedTuple):
    """What a commit writes of one user."""

    key: bytes
    since_ms: int | None
    """Kafka timestamp of the oldest event that no list reflects; None: nothing is owed any more."""


class OwedLists:
    """In the order in which they became late."""

    def __init__(self) -> None:
        self._since_ms: dict[bytes, int] = {}
        self._idle: dict[bytes, float] = {}
        self._stored: set[bytes] = set()
        self._changed: dict[bytes, None] = {}

    def __len__(self) -> int:
        """Users who are owed a list."""
        return len(self._since_ms)

    def __contains__(self, key: bytes) -> bool:
        """Whether this user waits for an idle moment."""
        return key in self._idle

    @property
    def n_idle(self) -> int:
        """Users who wait for an idle moment: all but those with a new event."""
        return len(self._idle)

    @property
    def waiting_since(self) -> float | None:
        """Since when the first of those who wait for an idle moment has waited, in the caller's monotonic seconds."""
        return next(iter(self._idle.values()), None)

    @property
    def oldest_ms(self) -> int | None:
        """Kafka timestamp of the event that has been without a list for longest, about: that of the first one waiting."""
        return next((self._since_ms[key] for key in self._idle), None)

    def owe(self, key: bytes, since_ms: int, waiting_since: float) -> None:
        """The list is late. One that was owed before stays owed since then."""
        if key not in self._since_ms:
            self._since_ms[key] = since_ms
            self._changed[key] = None
        self._idle.setdefault(key, waiting_since)

    def restore(self, key: bytes, since_ms: int, now: float, *, has_event: bool) -> None:
        """A mark was found in the store; nothing happens if the user is known to be owed."""
        self._stored.add(key)
        if key not in self._since_ms:
            self._since_ms[key] = since_ms
            if not has_event:
                self._idle[key] = now

    def has_event(self, key: bytes) -> None:
        """The user has a new event, and waits for no idle moment any more."""
        self._idle.pop(key, None)

    def first(self, n: int) -> Iterator[tuple[bytes, float]]:
        """`(key, waiting_since)` of the first n who wait for an idle moment."""
        return islice(self._idle.items(), n)

    def settle(self, key: bytes) -> int | None:
        """The list is being made. Kafka timestamp of the oldest event it is late for; None where none was owed."""
        self._idle.pop(key, None)
        since_ms = self._since_ms.pop(key, None)
        if since_ms is not None:
            self._changed[key] = None
        return since_ms

    def take_marks(self) -> list[Mark]:
        """What has changed since the last call, for the commit; it is taken to be in the store from then on."""
        changed, self._changed = self._changed, {}
        marks = [Mark(key, self._since_ms.get(key)) for key in changed]
        marks = [mark for mark in marks if (mark.since_ms is not None) != (mark.key in self._stored)]
        for mark in marks:
            (self._stored.discard if mark.since_ms is None else self._stored.add)(mark.key)
        return marks

"""Users whose list, or whose reasons, could not be made: told of with what reproduces it, and nobody else is affected.

A user is not barred: whoever has a new event is tried again, and so is everybody by the next release.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from stream.metrics import Metrics
from stream.partitions.users import UserPartition
from stream.storage.unreadable import UnreadableRecords

logger = logging.getLogger(__name__)

Cause = Literal["state", "ledger", "list", "reasons"]
"""What could not be read or made. `state`: no list, and the user's events go to the dead-letter topic; `ledger`: outcomes are
not credited; `list`: no list; `reasons`: a list without reasons."""

CAUSES: Final[tuple[Cause, ...]] = ("state", "ledger", "list", "reasons")

RECENT_USERS: Final = 1_000
FEW_USERS: Final = 100
"""Fewer say nothing of how many are quarantined."""

TOLD_MAX: Final = 10_000
"""Users of whom it is remembered that they were told of; of more the first are forgotten, and told of again."""


class Quarantined(NamedTuple):
    """One user, and what is needed to see it again."""

    user: bytes
    cause: Cause
    detail: str
    """One line."""
    evidence: bytes
    """Of `state` and `ledger` what is stored; else JSON."""


class _Asked(NamedTuple):
    """Some users of whom lists were asked for."""

    users: set[bytes]
    bad: set[bytes]


class Quarantine:
    """Counts every time that a user goes without something, and tells once of each user and cause."""

    def __init__(self, metrics: Metrics) -> None:
        self._counter = metrics.output.quarantined
        for cause in CAUSES:  # from 0 on: a rate sees nothing of a series that begins with its first user
            self._counter.labels(cause)
        self._told: OrderedDict[tuple[bytes, Cause], None] = OrderedDict()
        self._waiting: list[Quarantined] = []
        self._recent, self._before = _Asked(set(), set()), _Asked(set(), set())

    def add(self, each: Quarantined) -> None:
        """A user goes without something this time."""
        self.asked_for((each.user,))
        self._recent.bad.add(each.user)
        self._counter.labels(each.cause).inc()
        named = (each.user, each.cause)
        if named in self._told:
            return
        self._told[named] = None
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        logger.error(
            "user %r is quarantined (%s): %s. Fix: report it with this line; all else of the user goes on",
            *(each.user.decode(errors="replace")[:128], *each[1:3]),
        )
        self._waiting.append(each)

    def note_unreadable(self, users: UserPartition) -> None:
        """Users of a partition whose stored bytes could not be read since the last look."""
        unreadable: tuple[tuple[Cause, UnreadableRecords], ...] = (
            ("state", users.overlay.unreadable),
            ("ledger", users.outcomes.ledgers.unreadable),
        )
        for cause, records in unreadable:
            for each in records.take():
                self.add(Quarantined(each.user, cause, each.why, each.value))

    def asked_for(self, users: Iterable[bytes]) -> None:
        """Lists of these users were asked for."""
        if len(self._recent.users) >= RECENT_USERS:
            self._before, self._recent = self._recent, _Asked(set(), set())
        self._recent.users.update(users)

    @property
    def share(self) -> float:
        """Of the users of the last lists, about: how many of them went without something; 0 while there were few.

        Each counts once, whatever happens how often: one user who does something all day is one user.
        """
        recent, before = self._recent, self._before
        users = len(recent.users) + len(before.users)
        return (len(recent.bad) + len(before.bad)) / users if users >= FEW_USERS else 0.0

    def take(self) -> list[Quarantined]:
        """Those to be told of since the last call."""
        taken, self._waiting = self._waiting, []
        return taken

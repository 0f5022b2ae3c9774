"""Users whose list, or whose reasons, could not be made: told of with what reproduces it, and nobody else is affected.

A user is not barred: whoever has a new event is tried again, and so is everybody by the next release.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final, Literal, NamedTuple

from stream.metrics import Metrics

logger = logging.getLogger(__name__)

Cause = Literal["state", "ledger", "list", "reasons"]
"""What could not be read or made. `state`: no list, and the user's events go to the dead-letter topic; `ledger`: outcomes are
not credited; `list`: no list; `reasons`: a list without reasons."""

CAUSES: Final[tuple[Cause, ...]] = ("state", "ledger", "list", "reasons")

RECENT_LISTS: Final = 2_000
FEW_LISTS: Final = 100
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


class Quarantine:
    """Counts every time that a user goes without something, and tells once of each user and cause."""

    def __init__(self, metrics: Metrics) -> None:
        self._counter = metrics.output.quarantined
        self._told: OrderedDict[tuple[bytes, Cause], None] = OrderedDict()
        self._waiting: list[Quarantined] = []
        self._recent_lists = self._recent_bad = 0.0

    def add(self, each: Quarantined) -> None:
        """A user goes without something this time."""
        self._recent_bad += 1
        self._counter.labels(each.cause).inc()
        named = (each.user, each.cause)
        if named in self._told:
            return
        self._told[named] = None
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        logger.error("user %r is quarantined (%s): %s", each.user.decode(errors="replace")[:128], *each[1:3])
        self._waiting.append(each)

    def asked_for(self, lists: int) -> None:
        """So many lists were asked for."""
        self._recent_lists += lists
        if self._recent_lists > RECENT_LISTS:
            self._recent_lists /= 2
            self._recent_bad /= 2

    @property
    def share(self) -> float:
        """Of the last lists, about: of how many something could not be had; 0 while there were few."""
        return self._recent_bad / self._recent_lists if self._recent_lists >= FEW_LISTS else 0.0

    def take(self) -> list[Quarantined]:
        """Those to be told of since the last call."""
        taken, self._waiting = self._waiting, []
        return taken

"""Stored records of users that this release cannot read: nobody's else is affected, and the bytes stay as they are."""

from __future__ import annotations

from typing import Final, NamedTuple

WAITING_MAX: Final = 1_000
"""Found and not yet told; of more only the number is kept."""


class UnreadableRecord(NamedTuple):
    """What is stored for a user, and why it means nothing here."""

    user: bytes
    value: bytes
    why: str


class UnreadableRecords:
    """Those met since the last `take`, each user once."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, UnreadableRecord] = {}

    def met(self, user: bytes, value: bytes, why: str) -> None:
        """A user's record could not be read."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.setdefault(user, UnreadableRecord(user, value, why))

    def take(self) -> list[UnreadableRecord]:
        """All, which are then forgotten."""
        taken, self._waiting = list(self._waiting.values()), {}
        return taken

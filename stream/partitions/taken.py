"""What a commit takes of a partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from stream.storage.overlay import Snapshot


class Taken(NamedTuple):
    """All that becomes durable together. Beside `stored` and `marks` there is something only where users changed: an event
    that says something of an item is in its user's state."""

    stored: Snapshot
    """Into the changelog and the store."""
    deltas: Sequence[tuple[bytes, bytes]] = ()
    """`(item_id, packed delta)`."""
    attributions: Sequence[tuple[bytes, bytes]] = ()
    """Outcomes that were credited: key and record."""
    strategies: Sequence[tuple[bytes, bytes]] = ()
    """What strategies earned: key and record."""
    marks: Sequence[tuple[bytes, bytes | None]] = ()
    """Of users who are owed a list, of what was told of the catalogue, and of what has expired, into the changelog and the
    store; None deletes one."""
    expired: Sequence[bytes] = ()
    """Users of whom `marks` delete everything, and whose published list is to be deleted as well."""

    @property
    def changes_store(self) -> bool:
        """Whether there is anything for the changelog and the store."""
        return bool(self.stored.keys or self.marks)

    @property
    def values(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What goes into the changelog and the store."""
        return chain(zip(*self.stored, strict=True), self.marks)

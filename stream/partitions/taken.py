"""What a commit takes of a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stream.storage.overlay import Snapshot


class Taken(NamedTuple):
    """All that becomes durable together. Beside `stored` there is something only where users changed: an event that says
    something of an item is in its user's state."""

    stored: Snapshot
    """Into the changelog and the store."""
    deltas: Sequence[tuple[bytes, bytes]] = ()
    """`(item_id, packed delta)`."""
    attributions: Sequence[tuple[bytes, bytes]] = ()
    """Outcomes that were credited: key and record."""
    strategies: Sequence[tuple[bytes, bytes]] = ()
    """What strategies earned: key and record."""

"""Whose purchases the demo replays, and the records that it sends beside them on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.errors import InputFileError
from stream.files.mapping import Mapping
from stream.files.reading import BadRow, FileRecord, read_events, read_items
from stream.files.sample import EVENTS, ITEM_MAPPING, ITEMS, MAPPING, TIMEZONE
from stream.wire.decode import DecodeLimits

BAD_RECORDS: Final[tuple[tuple[bytes, bytes | None], ...]] = (
    (b"garbage", b"\xff\xfe\x00 these bytes are no JSON"),
    (b"dancer", b'{"user_id":"dancer","action":"dance","item_id":"85123A"}'),
    (b"alice", b'{"user_id":"bob","action":"purchase","item_id":"85123A"}'),
    (b"nothing", b""),
    (b"undecided", b'{"user_id":"undecided","action":"purchase"}'),
    (b"future", b'{"user_id":"future","action":"view","item_id":"85123A","event_time":"3000-01-01T00:00:00Z"}'),
)
"""Key and value of records that the demo sends on purpose, so that the dead-letter topic has something to show."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Whose purchases are replayed."""

    events: Path = EVENTS
    items: Path = ITEMS
    mapping: Mapping = MAPPING
    item_mapping: Mapping = ITEM_MAPPING
    timezone: str = TIMEZONE

    def read(self, limits: DecodeLimits, now_ms: int) -> tuple[list[FileRecord], list[FileRecord]]:
        """Its purchases, and its items.

        Raises:
            UsageError: a file cannot be read, or holds no purchase that can be used.
        """
        events = read_events(self.events, self.mapping, limits=limits, now_ms=now_ms, timezone=self.timezone)
        items = read_items(self.items, self.item_mapping, limits=limits, now_ms=now_ms, timezone=self.timezone)
        records = [row for row in events if not isinstance(row, BadRow)]
        if not records:
            raise InputFileError(f"{self.events} holds no event that can be used.", "name another file")
        return records, [row for row in items if not isinstance(row, BadRow)]

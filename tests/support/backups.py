"""Parts of backups for tests, without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stream.backup.archive import ArchiveWriter, Kept
from stream.backup.manifest import FORMAT_VERSION, File, Manifest, Position, Where
from stream.state.record import States


def packed_state(fence: int, last_ms: int = 0) -> bytes:
    """The state of somebody who has done nothing that is kept."""
    states = States(1)
    states.columns.fence[0], states.columns.last_ms[0] = fence, last_ms
    (packed,) = states.pack(np.zeros(1, np.int64))
    return packed


def kept(offset: int, key: bytes | None, value: bytes | None, timestamp_ms: int = 1_700_000_000_000) -> Kept:
    """A record."""
    return Kept(offset, timestamp_ms, key, value)


def archive_of(path: Path, records: Sequence[Kept]) -> ArchiveWriter:
    """A file of these, written."""
    with ArchiveWriter(path) as writer:
        for record in records:
            writer.add(record)
    return writer


def position(
    partition: int = 0,
    epoch: int = 0,
    reached: int = 10,
    answered: int = 10,
    end: int = 10,
    last_events: Sequence[Where] = (),
) -> Position:
    """Of one partition; all its events are answered."""
    return Position(partition, epoch, reached, answered, end, list(last_events))


def manifest_of(
    positions: Sequence[Position], files: Sequence[File] = (), partitioner: str = "murmur2_random"
) -> Manifest:
    """Of a group `old` that read `old.events`."""
    return Manifest(
        FORMAT_VERSION,
        "0.2.0",
        "2026-01-31T12:00:00+00:00",
        "old",
        partitioner,
        "old.events",
        "a-topic-id",
        {"changelog": "old-interest-changelog"},
        {"changelog": len(positions), "item_stats": 2, "item_deltas": 2},
        list(positions),
        list(files),
    )

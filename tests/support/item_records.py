"""Item records and deltas one at a time, the slow and obvious way: what tests say they want, and what they compare with."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

from models.items.record import (
    ENTRY_DAYS,
    MOMENTS,
    NEVER_MS,
    TREND_DAYS,
    DeltaColumns,
    RecordColumns,
    unpack_deltas,
    unpack_records,
)

Trend = tuple[float, ...]
Entry = tuple[float, ...]
Moments = tuple[int, ...]
NO_MOMENTS: Moments = (0,) * MOMENTS
NO_TREND: Trend = (0.0,) * len(TREND_DAYS)
NO_ENTRY: Entry = (0.0,) * len(ENTRY_DAYS)


def days(day: float, week: float, two_months: float) -> Trend:
    """Only these trends."""
    return (0.0, 0.0, day, week, two_months, 0.0)


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """Statistics of one item; fields as in `RecordColumns`. The default is an item nobody has met."""

    count: int = 0
    first_seen_ms: int = NEVER_MS
    trend_ms: int = 0
    trend: Trend = NO_TREND
    entry: Entry = NO_ENTRY
    exposures: int = 0
    clicks: int = 0
    neighbours: Mapping[int, float] = field(default_factory=dict)
    """Hash -> weight."""
    fences: Mapping[int, int] = field(default_factory=dict)
    """Source partition -> offset."""
    forwards: Mapping[int, float] = field(default_factory=dict)
    """Hash -> forward weight; of neighbours only, 0 where it is not said."""
    moments: Moments = NO_MOMENTS


@dataclass(frozen=True, slots=True)
class ItemDelta:
    """What one commit adds to one item; fields as in `DeltaColumns`."""

    source_partition: int
    source_offset: int
    count: int = 0
    first_seen_ms: int = NEVER_MS
    trend_ms: int = 0
    trend: Trend = NO_TREND
    entry: Entry = NO_ENTRY
    exposures: int = 0
    clicks: int = 0
    neighbours: Mapping[int, float] = field(default_factory=dict)
    forwards: Mapping[int, float] = field(default_factory=dict)
    moments: Moments = NO_MOMENTS


def pack_record(record: ItemRecord) -> bytes:
    fences = sorted(record.fences)
    head = struct.pack(
        "<BQqq6d3dQQ23IIH", 3, record.count, record.first_seen_ms, record.trend_ms, *record.trend,
        *record.entry, record.exposures, record.clicks, *record.moments, len(record.neighbours), len(fences),
    )  # fmt: skip
    tail = struct.pack(f"<{len(fences)}H{len(fences)}q", *fences, *(record.fences[each] for each in fences))
    return sealed(head + _neighbours(record.neighbours, record.forwards) + tail)


def pack_delta(delta: ItemDelta) -> bytes:
    head = struct.pack(
        "<BHqQqq6d3dQQ23II", 3, delta.source_partition, delta.source_offset, delta.count, delta.first_seen_ms,
        delta.trend_ms, *delta.trend, *delta.entry, delta.exposures, delta.clicks, *delta.moments,
        len(delta.neighbours),
    )  # fmt: skip
    return sealed(head + _neighbours(delta.neighbours, delta.forwards))


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", crc32(body))


def unpack_record(value: bytes) -> ItemRecord:
    c = unpack_records([value])
    return ItemRecord(
        *(int(column[0]) for column in (c.count, c.first_seen_ms, c.trend_ms)),
        tuple(c.trend[0].tolist()),
        tuple(c.entry[0].tolist()),
        int(c.exposures[0]),
        int(c.clicks[0]),
        dict(zip(c.neighbours.tolist(), c.neighbour_weights.tolist(), strict=True)),
        dict(zip(c.fence_partition.tolist(), c.fence_offset.tolist(), strict=True)),
        _forwards(c),
        tuple(c.moments[0].tolist()),
    )


def unpack_delta(value: bytes) -> ItemDelta:
    c = unpack_deltas([value])
    return ItemDelta(
        *(int(column[0]) for column in (c.source_partition, c.source_offset, c.count, c.first_seen_ms, c.trend_ms)),
        tuple(c.trend[0].tolist()),
        tuple(c.entry[0].tolist()),
        int(c.exposures[0]),
        int(c.clicks[0]),
        dict(zip(c.neighbours.tolist(), c.neighbour_weights.tolist(), strict=True)),
        _forwards(c),
        tuple(c.moments[0].tolist()),
    )


def _forwards(columns: RecordColumns | DeltaColumns) -> dict[int, float]:
    pairs = zip(columns.neighbours.tolist(), columns.neighbour_forwards.tolist(), strict=True)
    return {each: forward for each, forward in pairs if forward}


def _neighbours(neighbours: Mapping[int, float], forwards: Mapping[int, float]) -> bytes:
    hashes = sorted(neighbours)
    weights = (neighbours[each] for each in hashes)
    return struct.pack(
        f"<{len(hashes)}Q{2 * len(hashes)}d", *hashes, *weights, *(forwards.get(each, 0.0) for each in hashes)
    )

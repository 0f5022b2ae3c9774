"""Stored bytes about items, read and written in columns: records, all that is known of one; deltas, what a commit adds to one.

Everything is little endian without padding; the last four bytes are CRC-32 (zlib) of all bytes before them.

    record, version 3                             delta, version 3
    u8     version = 3                            u8     version = 3
    u64    count                                  u16    source_partition
    i64    first_seen_ms                          i64    source_offset
    i64    trend_ms                               u64    count
    f64x6  trend, one per TREND_DAYS              i64    first_seen_ms
    f64x3  entry, one per ENTRY_DAYS              i64    trend_ms
    u64    exposures                              f64x6  trend
    u64    clicks                                 f64x3  entry
    u32x23 moments, see MOMENTS                   u64    exposures
    u32    n, number of neighbours                u64    clicks
    u16    m, number of fences                    u32x23 moments
    u64xn  neighbours, hashes ascending           u32    n, number of neighbours
    f64xn  their weights                          u64xn  neighbours, hashes ascending
    f64xn  their forward weights                  f64xn  their weights
    u16xm  source partitions, ascending           f64xn  their forward weights
    i64xm  their last applied offsets             u32    CRC-32
    u32    CRC-32

Equal values have equal bytes. The item itself is the key of the Kafka record and not in the value. Version 1 had neither
moments nor forward weights, and version 2 only the trends of 1, 7 and 60 days and no entry; what they lack is read as 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.items.record_bytes import RecordParts, fill_bytes, take_parts

TREND_DAYS = (1 / 24, 0.25, 1.0, 7.0, 60.0, 365.0)
"""Time constants of the decayed counts: an engagement of age t counts exp(-t / constant)."""

ENTRY_DAYS = (3.0, 30.0, 365.0)
"""The same of entries: engagements that were the first of their user with anything."""

NEVER_MS = 2**63 - 1
"""`first_seen_ms` of an item that nobody has engaged with."""

MOMENTS = 23
"""When and where an item is engaged with: counts for 8 three-hour bins of the day (UTC), 7 weekdays (Monday first) and 8
context buckets (0 = none told). Each engagement counts once in each of the three groups."""

MOMENT_STARTS = (0, 8, 15)
"""First bin of each group; the last one ends at `MOMENTS`."""

MOMENT_SMOOTHING = 20.0
"""So many engagements as usual are added to an item's own before they are compared with what is usual."""

_VERSION = 3
_MOMENTS_BYTES = 4 * MOMENTS
_NEIGHBOUR_BYTES = 8 + 8 + 8
_FENCE_BYTES = 2 + 8
_CRC = struct.Struct("<I")
_CRC_RESIDUE = 0x2144DF1C
"""CRC-32 of any bytes and their own CRC-32 behind them, little endian."""
_DELTA_DTYPE = np.dtype(
    [
        ("version", "u1"),
        ("source_partition", "<u2"),
        ("source_offset", "<i8"),
        ("count", "<u8"),
        ("first_seen_ms", "<i8"),
        ("trend_ms", "<i8"),
        ("trend", "<f8", len(TREND_DAYS)),
        ("entry", "<f8", len(ENTRY_DAYS)),
        ("exposures", "<u8"),
        ("clicks", "<u8"),
        ("moments", "<u4", MOMENTS),
        ("neighbours", "<u4"),
    ]
)  # fmt: skip

_RECORD_DTYPE = np.dtype(
    [
        ("version", "u1"),
        ("count", "<u8"),
        ("first_seen_ms", "<i8"),
        ("trend_ms", "<i8"),
        ("trend", "<f8", len(TREND_DAYS)),
        ("entry", "<f8", len(ENTRY_DAYS)),
        ("exposures", "<u8"),
        ("clicks", "<u8"),
        ("moments", "<u4", MOMENTS),
        ("neighbours", "<u4"),
        ("fences", "<u2"),
    ]
)  # fmt: skip


class DeltaColumns(NamedTuple):
    """What a commit of one source partition adds to each of n items; neighbours in compressed rows. (n,) where not said.

    Of a person who is erased the same numbers are below 0. In packed deltas they are two's complements, which earlier releases
    add up rightly, too.
    """

    source_partition: NDArray[np.int64]
    source_offset: NDArray[np.int64]
    """Last event offset that the commit covers: a record whose fence is there already has the delta."""
    count: NDArray[np.int64]  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    first_seen_ms: NDArray[np.int64]
    trend_ms: NDArray[np.int64]
    trend: NDArray[np.float64]
    """(n, len(TREND_DAYS)) float64."""
    entry: NDArray[np.float64]
    """(n, len(ENTRY_DAYS)) float64."""
    exposures: NDArray[np.int64]
    clicks: NDArray[np.int64]
    moments: NDArray[np.int64]
    """(n, MOMENTS) int64."""
    neighbour_start: NDArray[np.int64]
    """(n + 1,) int64: item i's neighbours are `neighbours[neighbour_start[i] : neighbour_start[i + 1]]`."""
    neighbours: NDArray[np.uint64]
    """(p,) uint64 hashes, ascending within an item."""
    neighbour_weights: NDArray[np.float64]
    """(p,) float64: C, whichever came first."""
    neighbour_forwards: NDArray[np.float64]
    """(p,) float64: the same of engagements with the item before those with the neighbour."""


class RecordColumns(NamedTuple):
    """All that is known of n items; neighbours and fences in compressed rows, as in `DeltaColumns`."""

    count: NDArray[np.int64]  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    """First-time engagements: how many users have ever engaged with the item."""
    first_seen_ms: NDArray[np.int64]
    """Earliest of these engagements (event time); `NEVER_MS` where there is none."""
    trend_ms: NDArray[np.int64]
    """Time to which `trend` and `entry` are decayed: the newest of these engagements."""
    trend: NDArray[np.float64]
    """(n, len(TREND_DAYS)) float64: the same engagements decayed with each of `TREND_DAYS`."""
    entry: NDArray[np.float64]
    """(n, len(ENTRY_DAYS)) float64: those that were the first of their user with anything, with each of `ENTRY_DAYS`."""
    exposures: NDArray[np.int64]
    clicks: NDArray[np.int64]
    moments: NDArray[np.int64]
    """(n, MOMENTS) int64."""
    neighbour_start: NDArray[np.int64]
    neighbours: NDArray[np.uint64]
    neighbour_weights: NDArray[np.float64]
    neighbour_forwards: NDArray[np.float64]
    fence_start: NDArray[np.int64]
    fence_partition: NDArray[np.int64]
    """Ascending within an item."""
    fence_offset: NDArray[np.int64]


def pack_deltas(columns: DeltaColumns) -> list[bytes]:
    """Bytes of n deltas, layout above."""
    heads = _heads(_DELTA_DTYPE, columns)
    heads["source_partition"], heads["source_offset"] = columns.source_partition, columns.source_offset
    return _packed(heads, columns, *_NO_FENCES, np.zeros(len(heads) + 1, np.int64))


def pack_records(columns: RecordColumns) -> list[bytes]:
    """Bytes of n records, layout above."""
    heads = _heads(_RECORD_DTYPE, columns)
    heads["fences"] = np.diff(columns.fence_start)
    return _packed(heads, columns, columns.fence_partition, columns.fence_offset, columns.fence_start)


def unpack_deltas(values: Sequence[bytes]) -> DeltaColumns:
    """The deltas in `values` (n,).

    Raises:
        ValueError: one is not the bytes of a delta: cut, changed, or of a version this release does not know.
    """
    heads, parts = _unpacked(values, _DELTA_DTYPE, "item delta")
    return DeltaColumns(
        source_partition=heads["source_partition"].astype(np.int64),
        source_offset=heads["source_offset"].astype(np.int64),
        **_shared(heads) | {"moments": heads["moments"].astype(np.int32).astype(np.int64)},  # below 0: taken out
        neighbour_start=parts.neighbour_start,
        neighbours=parts.neighbours,
        neighbour_weights=parts.weights,
        neighbour_forwards=parts.forwards,
    )


def unpack_records(values: Sequence[bytes]) -> RecordColumns:
    """The records in `values` (n,).

    Raises:
        ValueError: one is not the bytes of a record: cut, changed, or of a version this release does not know.
    """
    heads, parts = _unpacked(values, _RECORD_DTYPE, "item record")
    return RecordColumns(
        **_shared(heads),
        neighbour_start=parts.neighbour_start,
        neighbours=parts.neighbours,
        neighbour_weights=parts.weights,
        neighbour_forwards=parts.forwards,
        fence_start=parts.fence_start,
        fence_partition=parts.fence_partition.astype(np.int64),
        fence_offset=parts.fence_offset,
    )


def newest_ms(value: bytes) -> int | None:
    """Time of the newest engagement in a packed record, 0 where nobody has engaged with the item; None of bytes that are no
    record of the current version. Nothing else is read."""
    if value[:1] != bytes([_VERSION]) or len(value) < _RECORD_DTYPE.itemsize:
        return None
    return int(np.frombuffer(value, _RECORD_DTYPE, 1)["trend_ms"][0])


_SOURCE = struct.Struct("<xHq")


def delta_source(value: bytes) -> tuple[int, int] | None:
    """Partition and offset of the last event that a delta of any version covers, without reading the rest; None of what is too
    short for one."""
    if len(value) < _SOURCE.size:
        return None
    partition, offset = _SOURCE.unpack_from(value)
    return int(partition), int(offset)


def unreadable(values: Sequence[bytes], *, deltas: bool) -> dict[int, str]:
    """Why each of `values` that is no delta (or else no record) is none, by its place."""
    found = {}
    for at, value in enumerate(values):
        try:
            unpack_deltas([value]) if deltas else unpack_records([value])
        except ValueError as error:
            found[at] = str(error)
    return found


def ragged(starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of compressed rows with these bounds, (n + 1,): the row of every element, and its place in the row."""
    lengths = np.diff(starts)
    row = np.repeat(np.arange(lengths.size), lengths)
    return row, np.arange(row.size) - starts[row]


_SHARED = ("count", "first_seen_ms", "trend_ms", "trend", "entry", "exposures", "clicks", "moments")
_FRACTIONS = ("trend", "entry")


def _heads(dtype: np.dtype[Any], columns: DeltaColumns | RecordColumns) -> NDArray[np.void]:
    heads = np.zeros(columns.count.size, dtype)
    heads["version"], heads["neighbours"] = _VERSION, np.diff(columns.neighbour_start)
    for name in _SHARED:
        heads[name] = getattr(columns, name)
    return heads


def _shared(heads: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    return {name: heads[name].astype(np.float64 if name in _FRACTIONS else np.int64) for name in _SHARED}


_NO_FENCES = np.empty(0, np.int64), np.empty(0, np.int64)


def _packed(
    heads: NDArray[np.void],
    columns: DeltaColumns | RecordColumns,
    fence_partition: NDArray[np.int64],
    fence_offset: NDArray[np.int64],
    fence_start: NDArray[np.int64],
) -> list[bytes]:
    n, size = len(heads), heads.dtype.itemsize
    lengths = (
        size + _NEIGHBOUR_BYTES * np.diff(columns.neighbour_start) + _FENCE_BYTES * np.diff(fence_start) + _CRC.size
    )
    starts = _starts(lengths)
    body = np.empty(starts[-1], np.uint8)
    parts = RecordParts(
        columns.neighbour_start,
        columns.neighbours,
        columns.neighbour_weights,
        columns.neighbour_forwards,
        fence_start,
        fence_partition.astype(np.uint16),
        fence_offset,
    )
    fill_bytes(body, starts, heads.view(np.uint8), _as_bytes(parts))
    whole, bounds = body.data, starts.tolist()
    # One view at a time: thousands at once would have Python look for garbage among all that a worker holds.
    sums = (crc32(whole[begin : end - _CRC.size]) for begin, end in pairwise(bounds))
    ends = starts[1:, None] + np.arange(-_CRC.size, 0)
    body[ends] = np.fromiter(sums, "<u4", n).view(np.uint8).reshape(n, _CRC.size)
    return [whole[begin:end].tobytes() for begin, end in pairwise(bounds)]


def _unpacked(values: Sequence[bytes], dtype: np.dtype[Any], what: str) -> tuple[NDArray[np.void], RecordParts]:
    """Heads (n,) of this type, and what stands behind them."""
    values = _checked(values, dtype.itemsize, what)
    n, size = len(values), dtype.itemsize
    body = np.frombuffer(b"".join(values), np.uint8)
    starts = _starts(np.fromiter(map(len, values), np.int64, n))
    heads = np.frombuffer(b"".join([value[:size] for value in values]), dtype)
    neighbours = heads["neighbours"].astype(np.int64)
    fences = heads["fences"].astype(np.int64) if "fences" in (dtype.names or ()) else np.zeros(n, np.int64)
    wanted = size + _NEIGHBOUR_BYTES * neighbours + _FENCE_BYTES * fences + _CRC.size
    for wrong in np.flatnonzero(wanted != np.diff(starts)).tolist():
        raise ValueError(f"{what}: {len(values[wrong])} bytes where its counts ask for {wanted[wrong]}")
    n_neighbours, n_fences = int(neighbours.sum()), int(fences.sum())
    parts = RecordParts(
        _starts(neighbours),
        np.empty(n_neighbours, np.uint64),
        np.empty(n_neighbours),
        np.empty(n_neighbours),
        _starts(fences),
        np.empty(n_fences, np.uint16),
        np.empty(n_fences, np.int64),
    )
    take_parts(body, starts, size, _as_bytes(parts))
    return heads, parts


def _as_bytes(parts: RecordParts) -> RecordParts:
    """The same memory, columns but the starts as bytes."""

    def as_bytes(column: NDArray[Any]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(column).view(np.uint8)

    return RecordParts(
        parts.neighbour_start,
        as_bytes(parts.neighbours),
        as_bytes(parts.weights),
        as_bytes(parts.forwards),
        parts.fence_start,
        as_bytes(parts.fence_partition),
        as_bytes(parts.fence_offset),
    )


def _checked(values: Sequence[bytes], head_size: int, what: str) -> Sequence[bytes]:
    """The values in the current version.

    A CRC over a message and its own CRC is the same for every message; so those that are right, nearly always all, cost one
    call each, and only where one is not is looked at them one by one.
    """
    least = head_size + _CRC.size
    if all(len(value) >= least and value[0] == _VERSION for value in values) and all(
        residue == _CRC_RESIDUE for residue in map(crc32, values)
    ):
        return values
    return [_current(value, head_size, what) for value in values]


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def _sealed(body: bytes) -> bytes:
    return body + _CRC.pack(crc32(body))


def _current(value: bytes, head_size: int, what: str) -> bytes:
    """The value, checked, in the current version."""
    version = value[0] if value else None
    if version not in (1, 2, _VERSION):
        raise ValueError(f"{what}: version {version}, this release reads up to {_VERSION}")
    head_size -= _SINCE_VERSION_3 if version < _VERSION else 0
    if len(value) < head_size + _CRC.size - (_MOMENTS_BYTES if version == 1 else 0):
        raise ValueError(f"{what}: {len(value)} bytes are too few")
    if _CRC.unpack_from(value, len(value) - _CRC.size)[0] != crc32(memoryview(value)[: -_CRC.size]):
        raise ValueError(f"{what}: checksum does not match")
    if version == 1:
        value = _from_version_1(value, head_size, what)
    return _from_version_2(value, what) if value[0] == 2 else value


_SINCE_VERSION_3 = 8 * (len(TREND_DAYS) - 3 + len(ENTRY_DAYS))


def _from_version_1(value: bytes, head_size: int, what: str) -> bytes:
    counts = 4 if what == "item delta" else 6  # u32 neighbours, of a record also u16 fences
    old_head = head_size - _MOMENTS_BYTES
    at = old_head - counts
    n = int.from_bytes(value[at : at + 4], "little")
    pairs_end = old_head + 16 * n
    if pairs_end > len(value) - _CRC.size:
        raise ValueError(f"{what}: {len(value)} bytes where its counts ask for more")
    head = bytes([2]) + value[1:at] + bytes(_MOMENTS_BYTES) + value[at:old_head]
    return _sealed(head + value[old_head:pairs_end] + bytes(8 * n) + value[pairs_end : -_CRC.size])


def _from_version_2(value: bytes, what: str) -> bytes:
    """With the trends of 1, 7 and 60 days in their places among the others, which begin at 0."""
    fields = (_DELTA_DTYPE if what == "item delta" else _RECORD_DTYPE).fields
    assert fields is not None, "it has names"
    at = fields["trend"][1]
    faster, slower = TREND_DAYS.index(1.0), len(TREND_DAYS) - TREND_DAYS.index(60.0) - 1
    head = bytes([_VERSION]) + value[1:at] + bytes(8 * faster)
    return _sealed(head + value[at : at + 24] + bytes(8 * (slower + len(ENTRY_DAYS))) + value[at + 24 : -_CRC.size])

"""A user's interest state: bounded, versioned, packed; and the arrays it lives in while it is being changed.

State holds facts (which item, when, what was done), never model output, so a new model re-reads it and nothing migrates.

Packed record, version 1, little endian, at most `MAX_PACKED_BYTES`; only used slots are stored:

    header    36 B  version u8, flags u8 (0), counts of behaviours, exposures, points, bought u8 each, 2 B zero,
                    events u32 (all ever accepted), fence i64 (last applied offset), first_seen u32 s, last_seen i64 ms,
                    older_time u32 s (reference time of the histogram)
    behaviour 19 B  x <= 64, first come first: item u64, event time u48 ms, kind u8 (action, first, context), dwell code u8,
                    event-id hash u24 (0 = it had none)
    exposure  11 B  x <= 32, oldest first: item u32 (hash's upper half: it is only ever compared), time u32 s, slot u8,
                    strategy u8 (255: not known), context bucket u8
    point     22 B  x <= 12: item u64, long f32, short f32 (weights decayed to `last`), last u32 s, count u16
    histogram 64 B  if any behaviour is older than the ring: f32 x 16: 4 six-hour bins of the day (UTC), 7 weekdays
                    (Monday first), 4 context buckets, 1 total; decayed to `older_time`
    bought     2 B  x <= 58, oldest first: upper 16 bits of the hash of purchases and dislikes older than the ring

The ring holds the 64 behaviours with the newest event times (the one that came last always among them), in the order of the
topic. Points, histogram and bought hold everything older: they
change only when a behaviour leaves the ring, one at a time, rounding after each, so their bits do not depend on how the
topic was cut into chunks.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, compiled_part
from models.items.growing import GrowingArray
from models.vocabulary import ACTIONS
from stream.errors import CorruptStateError

STATE_VERSION = 1
RING = 64
EXPOSURES = 32
POINTS = 12
BOUGHT = 58
BINS = 16
MAX_PACKED_BYTES = 2048

BIN_WEEKDAY = 4
BIN_CONTEXT = 11
BIN_TOTAL = 15

HEADER = struct.Struct("<BBBBBBxxIqIqI")
BEHAVIOUR_BYTES = 19
EXPOSURE_BYTES = 11
POINT = np.dtype([("item", "<u8"), ("long", "<f4"), ("short", "<f4"), ("last_s", "<u4"), ("count", "<u2")])
HISTOGRAM_BYTES = 4 * BINS

ACTION_MASK = np.uint8(0x0F)
ACTION_CODES = np.uint8(len(ACTIONS))
FIRST_BIT = np.uint8(0x10)
CONTEXT_SHIFT = np.uint8(5)
"""kind = action code | FIRST_BIT | context bucket << 5; buckets are 0 (none) to 7."""

if sys.byteorder != "little":
    raise ImportError("packed state is little endian, and so must be the machine")

NEVER = -1
"""Fence of a user of whom nothing was applied."""

RESERVED_ROWS = 1 << 20
"""Users whose rows have address space from the beginning, 2.4 GB; memory is taken for those that are used."""

assert (
    HEADER.size
    + RING * BEHAVIOUR_BYTES
    + EXPOSURES * EXPOSURE_BYTES
    + POINTS * POINT.itemsize
    + HISTOGRAM_BYTES
    + 2 * BOUGHT
    == MAX_PACKED_BYTES
)


class StateColumns(NamedTuple):
    """The arrays of `States`; the first axis of each is the user's row. Compiled loops take them as they are."""

    fence: NDArray[np.int64]
    """Offset of the last applied record."""
    events: NDArray[np.uint32]
    first_s: NDArray[np.uint32]
    last_ms: NDArray[np.int64]
    older_s: NDArray[np.uint32]
    n_ring: NDArray[np.int64]
    """Behaviours appended since this row was loaded, plus those loaded; likewise below."""
    n_exposures: NDArray[np.int64]
    n_points: NDArray[np.uint8]
    n_bought: NDArray[np.int64]
    item: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    kind: NDArray[np.uint8]
    dwell: NDArray[np.uint8]
    event_id: NDArray[np.uint32]
    exposed_item: NDArray[np.uint32]
    exposed_s: NDArray[np.uint32]
    exposed_slot: NDArray[np.uint8]
    exposed_strategy: NDArray[np.uint8]
    exposed_context: NDArray[np.uint8]
    point: NDArray[np.void]
    histogram: NDArray[np.float32]
    bought: NDArray[np.uint16]


_COLUMNS: tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...] = tuple(
    (name, shape, np.dtype(kind))
    for name, shape, kind in (
        ("fence", (), "i8"),
        ("events", (), "u4"),
        ("first_s", (), "u4"),
        ("last_ms", (), "i8"),
        ("older_s", (), "u4"),
        ("n_ring", (), "i8"),
        ("n_exposures", (), "i8"),
        ("n_points", (), "u1"),
        ("n_bought", (), "i8"),
        ("item", (RING,), "u8"),
        ("time_ms", (RING,), "i8"),
        ("kind", (RING,), "u1"),
        ("dwell", (RING,), "u1"),
        ("event_id", (RING,), "u4"),
        ("exposed_item", (EXPOSURES,), "u4"),
        ("exposed_s", (EXPOSURES,), "u4"),
        ("exposed_slot", (EXPOSURES,), "u1"),
        ("exposed_strategy", (EXPOSURES,), "u1"),
        ("exposed_context", (EXPOSURES,), "u1"),
        ("point", (POINTS,), POINT),
        ("histogram", (BINS,), "f4"),
        ("bought", (BOUGHT,), "u2"),
    )
)


class States:
    """States of many users as arrays, one row a user; `(n, …)` with n = capacity.

    The ring of row r holds the behaviour that came last at slot `(n_ring[r] - 1) % RING`; exposures and bought likewise.
    """

    row_bytes = sum(kind.itemsize * math.prod(shape) for _, shape, kind in _COLUMNS)
    """Memory of one row."""

    def __init__(self, capacity: int) -> None:
        self._growing: list[GrowingArray[Any]] = [
            GrowingArray(kind, *shape, fill=NEVER if name == "fence" else 0, reserved_rows=max(capacity, RESERVED_ROWS))
            for name, shape, kind in _COLUMNS
        ]
        self.grow(capacity)

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name == "columns":  # copying and pickling ask before it is there
            raise AttributeError(name)
        column: NDArray[Any] = getattr(self.columns, name)
        return column

    @property
    def capacity(self) -> int:
        """Rows there are."""
        return len(self.columns.fence)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; what is there stays, and where it is: 100,000 users who come at one instant are
        not copied while everybody waits."""
        for column in self._growing:
            column.grow(capacity)
        self.columns = StateColumns(*(column.values for column in self._growing))

    def clear(self, row: int) -> None:
        """Nothing is known of the user of this row."""
        for name, column in self.columns._asdict().items():
            column[row] = NEVER if name == "fence" else 0

    def take(self, rows: NDArray[np.int64], capacity: int) -> States:
        """A copy with these rows first, in that order, and empty ones up to `capacity`."""
        taken = States(capacity)
        for name in StateColumns._fields:
            getattr(taken, name)[: len(rows)] = getattr(self, name)[rows]
        return taken

    def pack(self, rows: NDArray[np.int64]) -> list[bytes]:
        """See `pack`."""
        return pack(self, rows)

    def unpack(self, rows: NDArray[np.int64], values: Sequence[bytes]) -> None:
        """See `unpack`."""
        unpack(self, rows, values)

    def by_arrival(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`(slots (m, RING), lengths (m,))`: ring slots of each row, first come first; the first `length` are in use."""
        lengths = np.minimum(self.n_ring[rows], RING)
        slots = (self.n_ring[rows] - lengths)[:, None] + np.arange(RING)
        return slots % RING, lengths


# --- packing ---


def pack(states: States, rows: NDArray[np.int64]) -> list[bytes]:
    """Packed records of `rows (m,)`, in that order. The same facts give the same bytes, whatever slots they lie in."""
    columns = states.columns
    sizes = HEADER.size + np.minimum(columns.n_ring[rows], RING) * BEHAVIOUR_BYTES
    sizes += np.minimum(columns.n_exposures[rows], EXPOSURES) * EXPOSURE_BYTES
    sizes += columns.n_points[rows].astype(np.int64) * POINT.itemsize
    sizes += np.where(columns.older_s[rows] > 0, HISTOGRAM_BYTES, 0) + 2 * np.minimum(columns.n_bought[rows], BOUGHT)
    ends = np.cumsum(sizes)
    buffer = np.zeros(int(ends[-1]) if len(rows) else 0, np.uint8)
    _pack(columns, columns.point.view(np.uint8), columns.histogram.view(np.uint8), rows, ends - sizes, buffer)
    packed = buffer.tobytes()
    return [packed[start:end] for start, end in zip((ends - sizes).tolist(), ends.tolist(), strict=True)]


@compiled
def _pack(
    c: StateColumns,
    points: NDArray[np.uint8],
    histograms: NDArray[np.uint8],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    for i in range(len(rows)):
        r, at = rows[i], starts[i]
        ring, exposures, bought = min(c.n_ring[r], RING), min(c.n_exposures[r], EXPOSURES), min(c.n_bought[r], BOUGHT)
        n_points = np.int64(c.n_points[r])
        out[at], out[at + 2], out[at + 3], out[at + 4], out[at + 5] = STATE_VERSION, ring, exposures, n_points, bought
        _put(out, at + 8, np.uint64(c.events[r]), 4)
        _put(out, at + 12, np.uint64(c.fence[r]), 8)
        _put(out, at + 20, np.uint64(c.first_s[r]), 4)
        _put(out, at + 24, np.uint64(c.last_ms[r]), 8)
        _put(out, at + 32, np.uint64(c.older_s[r]), 4)
        at += 36
        for k in range(c.n_ring[r] - ring, c.n_ring[r]):
            slot = k % RING
            _put(out, at, c.item[r, slot], 8)
            _put(out, at + 8, np.uint64(c.time_ms[r, slot]), 6)
            out[at + 14], out[at + 15] = c.kind[r, slot], c.dwell[r, slot]
            _put(out, at + 16, np.uint64(c.event_id[r, slot]), 3)
            at += 19
        for k in range(c.n_exposures[r] - exposures, c.n_exposures[r]):
            slot = k % EXPOSURES
            _put(out, at, np.uint64(c.exposed_item[r, slot]), 4)
            _put(out, at + 4, np.uint64(c.exposed_s[r, slot]), 4)
            out[at + 8], out[at + 9] = c.exposed_slot[r, slot], c.exposed_strategy[r, slot]
            out[at + 10] = c.exposed_context[r, slot]
            at += 11
        for k in range(22 * n_points):
            out[at + k] = points[r, k]
        at += 22 * n_points
        if c.older_s[r] > 0:
            for k in range(4 * BINS):
                out[at + k] = histograms[r, k]
            at += 4 * BINS
        for k in range(c.n_bought[r] - bought, c.n_bought[r]):
            _put(out, at, np.uint64(c.bought[r, k % BOUGHT]), 2)
            at += 2


@compiled_part
def _put(out: NDArray[np.uint8], at: int, value: np.uint64, width: int) -> None:
    for k in range(width):
        out[at + k] = (value >> np.uint64(8 * k)) & np.uint64(0xFF)


# --- unpacking ---

MIGRATIONS: dict[int, Callable[[bytes], bytes]] = {}
"""By version, what makes of a packed record the one of the next version. Version 1 is the first that anybody stored.

A record is brought up to date when it is read, and written back in the current version when its user is next changed.
"""


def last_event_ms(value: bytes) -> int | None:
    """Time of the newest event in a packed record of the current version, without reading the rest; None of any other."""
    if value[:1] != _CURRENT or len(value) < HEADER.size:
        return None
    return int.from_bytes(value[24:32], "little")


def fence_of(value: bytes) -> int | None:
    """Last applied offset in a packed record of the current version, without reading the rest; None of any other."""
    if value[:1] != _CURRENT or len(value) < HEADER.size:
        return None
    return int.from_bytes(value[12:20], "little", signed=True)


def unpack(states: States, rows: NDArray[np.int64], values: Sequence[bytes]) -> None:
    """Read packed records into `rows (m,)`, which are empty (zero, fence `NEVER`).

    Raises:
        CorruptStateError: bytes that are no record that this version or an earlier one wrote; all rows stay empty then.
    """
    values = [value if value[:1] == _CURRENT else _migrate(value) for value in values]
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    columns = states.columns
    blob = np.frombuffer(b"".join(values) + b"\0", np.uint8)  # never empty: an empty array would have another type
    wrong = _unpack(columns, columns.point.view(np.uint8), columns.histogram.view(np.uint8), rows, ends, blob)
    if wrong >= 0:
        raise CorruptStateError(
            f"a stored state has {len(values[wrong])} bytes that its header does not account for, or unknown actions"
        )


_CURRENT = bytes([STATE_VERSION])


def _migrate(value: bytes) -> bytes:
    if not value:
        raise CorruptStateError("a stored state is empty")
    while value[0] != STATE_VERSION:
        if value[0] not in MIGRATIONS:
            raise CorruptStateError(f"a stored state has version {value[0]}; this worker reads up to {STATE_VERSION}")
        value = MIGRATIONS[value[0]](value)
    return value


@compiled
def _unpack(
    c: StateColumns,
    points: NDArray[np.uint8],
    histograms: NDArray[np.uint8],
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    blob: NDArray[np.uint8],
) -> int:
    """Index of the first record that is none, or -1; nothing is written if there is one."""
    at = np.int64(0)
    for i in range(len(ends)):
        if not _is_record(blob, at, ends[i]):
            return i
        at = ends[i]
    at = np.int64(0)
    for i in range(len(rows)):
        r = rows[i]
        ring, exposures = np.int64(blob[at + 2]), np.int64(blob[at + 3])
        n_points, bought = np.int64(blob[at + 4]), np.int64(blob[at + 5])
        older_s = _get(blob, at + 32, 4)
        bins = 4 * BINS if older_s > 0 else 0
        c.events[r], c.first_s[r] = _get(blob, at + 8, 4), _get(blob, at + 20, 4)
        c.fence[r], c.last_ms[r] = np.int64(_get(blob, at + 12, 8)), np.int64(_get(blob, at + 24, 8))
        c.older_s[r] = older_s
        c.n_ring[r], c.n_exposures[r], c.n_points[r], c.n_bought[r] = ring, exposures, n_points, bought
        at += 36
        for k in range(ring):
            c.item[r, k] = _get(blob, at, 8)
            c.time_ms[r, k] = np.int64(_get(blob, at + 8, 6))
            c.kind[r, k], c.dwell[r, k] = blob[at + 14], blob[at + 15]
            c.event_id[r, k] = _get(blob, at + 16, 3)
            at += 19
        for k in range(exposures):
            c.exposed_item[r, k], c.exposed_s[r, k] = _get(blob, at, 4), _get(blob, at + 4, 4)
            c.exposed_slot[r, k], c.exposed_strategy[r, k] = blob[at + 8], blob[at + 9]
            c.exposed_context[r, k] = blob[at + 10]
            at += 11
        for k in range(22 * n_points):
            points[r, k] = blob[at + k]
        at += 22 * n_points
        for k in range(bins):
            histograms[r, k] = blob[at + k]
        at += bins
        for k in range(bought):
            c.bought[r, k] = _get(blob, at, 2)
            at += 2
    return -1


@compiled_part
def _is_record(blob: NDArray[np.uint8], at: np.int64, end: np.int64) -> bool:
    if end - at < 36:
        return False
    ring, exposures = np.int64(blob[at + 2]), np.int64(blob[at + 3])
    n_points, bought = np.int64(blob[at + 4]), np.int64(blob[at + 5])
    bins = 4 * BINS if _get(blob, at + 32, 4) > 0 else 0
    size = 36 + 19 * ring + 11 * exposures + 22 * n_points + bins + 2 * bought
    if size != end - at or ring > RING or exposures > EXPOSURES or n_points > POINTS or bought > BOUGHT:
        return False
    for k in range(ring):  # noqa: SIM110  (a generator cannot be compiled): a table is looked up by it, unchecked
        if blob[at + 36 + 19 * k + 14] & ACTION_MASK >= ACTION_CODES:
            return False
    return True


@compiled_part
def _get(blob: NDArray[np.uint8], at: np.int64, width: int) -> np.uint64:
    value = np.uint64(0)
    for k in range(width):
        value |= np.uint64(blob[at + k]) << np.uint64(8 * k)
    return value


DWELL_STEPS = 16
"""Codes per doubling of the dwell time."""


def dwell_code(dwell_ms: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Dwell times in ms -> one byte on a logarithmic scale; 0 stays 0, the cap is 1.7 h.

    The error is at most 2.2 % of the time plus 100 ms; a few ms below 4 ms, since something is never stored as nothing.
    """
    code = np.rint(np.log2(np.maximum(dwell_ms, 1) / 100.0 + 1.0) * DWELL_STEPS)
    return np.where(dwell_ms > 0, np.clip(code, 1, 255), 0).astype(np.uint8)


def dwell_ms_of(code: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Inverse of `dwell_code`, in ms."""
    return (np.exp2(code.astype(np.float64) / DWELL_STEPS) - 1.0) * 100.0

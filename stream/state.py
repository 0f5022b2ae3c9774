"""A user's interest state: bounded, versioned, packed; and the arrays it lives in while it is being changed.

State holds facts (which item, when, what was done), never model output, so a new model re-reads it and nothing migrates.

Packed record, version 1, little endian, at most `MAX_PACKED_BYTES`; only used slots are stored:

    header    36 B  version u8, flags u8 (0), counts of behaviours, exposures, points, bought u8 each, 2 B zero,
                    events u32 (all ever accepted), fence i64 (last applied offset), first_seen u32 s, last_seen i64 ms,
                    older_time u32 s (reference time of the histogram)
    behaviour 19 B  x <= 64, oldest first: item u64, event time u48 ms, kind u8 (action, first, context), dwell code u8,
                    event-id hash u24 (0 = it had none)
    exposure  11 B  x <= 32, oldest first: item u32 (hash's upper half: it is only ever compared), time u32 s, slot u8,
                    strategy u8, propensity u8 (in 255ths)
    point     22 B  x <= 12: item u64, long f32, short f32 (weights decayed to `last`), last u32 s, count u16
    histogram 64 B  if any behaviour is older than the ring: f32 x 16: 4 six-hour bins of the day (UTC), 7 weekdays
                    (Monday first), 4 context buckets, 1 total; decayed to `older_time`
    bought     2 B  x <= 58, oldest first: upper 16 bits of the hash of purchases older than the ring

The ring holds the last 64 behaviours in the order of the topic. Points, histogram and bought hold everything older: they
change only when a behaviour leaves the ring, one at a time, rounding after each, so their bits do not depend on how the
topic was cut into chunks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
FIRST_BIT = np.uint8(0x10)
CONTEXT_SHIFT = np.uint8(5)
"""kind = action code | FIRST_BIT | context bucket << 5; buckets are 0 (none) to 7."""

NEVER = -1
"""Fence of a user of whom nothing was applied."""

assert (
    HEADER.size
    + RING * BEHAVIOUR_BYTES
    + EXPOSURES * EXPOSURE_BYTES
    + POINTS * POINT.itemsize
    + HISTOGRAM_BYTES
    + 2 * BOUGHT
    == MAX_PACKED_BYTES
)

_COLUMNS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("fence", (), "i8"),  # offset of the last applied record
    ("events", (), "u4"),
    ("first_s", (), "u4"),
    ("last_ms", (), "i8"),
    ("older_s", (), "u4"),
    ("n_ring", (), "i8"),  # behaviours appended since this row was loaded, plus those loaded
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
    ("exposed_propensity", (EXPOSURES,), "u1"),
    ("point", (POINTS,), POINT.descr),  # type: ignore[assignment]
    ("histogram", (BINS,), "f4"),
    ("bought", (BOUGHT,), "u2"),
)

ROW_BYTES = sum(np.dtype(kind).itemsize * int(np.prod(shape, dtype=int)) for _, shape, kind in _COLUMNS)
"""Memory of one row of `States`."""


class States:
    """States of many users as arrays, one row a user; `(n, …)` with n = capacity.

    The ring of row r holds its newest behaviour at slot `(n_ring[r] - 1) % RING`; exposures and bought likewise.
    """

    fence: NDArray[np.int64]
    events: NDArray[np.uint32]
    first_s: NDArray[np.uint32]
    last_ms: NDArray[np.int64]
    older_s: NDArray[np.uint32]
    n_ring: NDArray[np.int64]
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
    exposed_propensity: NDArray[np.uint8]
    point: NDArray[np.void]
    histogram: NDArray[np.float32]
    bought: NDArray[np.uint16]

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        for name, shape, kind in _COLUMNS:
            setattr(self, name, np.zeros((capacity, *shape), kind))
        self.fence[:] = NEVER

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; what is there stays."""
        for name, shape, kind in _COLUMNS:
            old = getattr(self, name)
            new = np.zeros((capacity, *shape), kind)
            new[: self.capacity] = old
            setattr(self, name, new)
        self.fence[self.capacity :] = NEVER
        self.capacity = capacity

    def chronological(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`(slots (m, RING), lengths (m,))`: ring slots of each row, oldest first; the first `length` are in use."""
        lengths = np.minimum(self.n_ring[rows], RING)
        slots = (self.n_ring[rows] - lengths)[:, None] + np.arange(RING)
        return slots % RING, lengths


def unpack_into(states: States, row: int, value: bytes) -> None:
    """Read one packed record into a row that is empty (zero, fence `NEVER`).

    Raises:
        CorruptStateError: the bytes are not a record that this version or an earlier one wrote.
    """
    if not value:
        raise CorruptStateError("a stored state is empty")
    if value[0] != STATE_VERSION:
        raise CorruptStateError(f"a stored state has version {value[0]}; this worker reads up to {STATE_VERSION}")
    if len(value) < HEADER.size:
        raise CorruptStateError(f"a stored state has {len(value)} bytes, fewer than its header")
    _, _, ring, exposures, points, bought, events, fence, first_s, last_ms, older_s = HEADER.unpack_from(value)
    histogram = BINS if older_s else 0
    size = HEADER.size + ring * BEHAVIOUR_BYTES + exposures * EXPOSURE_BYTES + points * POINT.itemsize
    size += 4 * histogram + 2 * bought
    if size != len(value) or ring > RING or exposures > EXPOSURES or points > POINTS or bought > BOUGHT:
        raise CorruptStateError(f"a stored state has {len(value)} bytes where its header says {size}")
    states.fence[row], states.events[row], states.first_s[row] = fence, events, first_s
    states.last_ms[row], states.older_s[row] = last_ms, older_s
    states.n_ring[row], states.n_exposures[row], states.n_points[row], states.n_bought[row] = (
        ring,
        exposures,
        points,
        bought,
    )
    at = HEADER.size
    if ring:
        rows = np.frombuffer(value, np.uint8, ring * BEHAVIOUR_BYTES, at).reshape(ring, BEHAVIOUR_BYTES)
        states.item[row, :ring] = rows[:, :8].copy().view("<u8")[:, 0]
        states.time_ms[row, :ring] = _widen(rows[:, 8:14], "<i8")
        states.kind[row, :ring], states.dwell[row, :ring] = rows[:, 14], rows[:, 15]
        states.event_id[row, :ring] = _widen(rows[:, 16:19], "<u4")
        at += rows.size
    if exposures:
        rows = np.frombuffer(value, np.uint8, exposures * EXPOSURE_BYTES, at).reshape(exposures, EXPOSURE_BYTES)
        states.exposed_item[row, :exposures] = rows[:, :4].copy().view("<u4")[:, 0]
        states.exposed_s[row, :exposures] = rows[:, 4:8].copy().view("<u4")[:, 0]
        states.exposed_slot[row, :exposures], states.exposed_strategy[row, :exposures] = rows[:, 8], rows[:, 9]
        states.exposed_propensity[row, :exposures] = rows[:, 10]
        at += rows.size
    states.point[row, :points] = np.frombuffer(value, POINT, points, at)
    at += points * POINT.itemsize
    states.histogram[row, :histogram] = np.frombuffer(value, "<f4", histogram, at)
    at += 4 * histogram
    states.bought[row, :bought] = np.frombuffer(value, "<u2", bought, at)


def pack(states: States, rows: NDArray[np.int64]) -> list[bytes]:
    """Packed records of `rows (m,)`, in that order. The same facts give the same bytes, whatever slots they lie in."""
    m = len(rows)
    slots, n_ring = states.chronological(rows)
    behaviours = np.empty((m, RING, BEHAVIOUR_BYTES), np.uint8)
    at = rows[:, None]
    behaviours[..., :8] = _bytes_of(states.item[at, slots], 8)
    behaviours[..., 8:14] = _bytes_of(states.time_ms[at, slots], 6)
    behaviours[..., 14] = states.kind[at, slots]
    behaviours[..., 15] = states.dwell[at, slots]
    behaviours[..., 16:] = _bytes_of(states.event_id[at, slots], 3)
    n_exposures = np.minimum(states.n_exposures[rows], EXPOSURES)
    slots = ((states.n_exposures[rows] - n_exposures)[:, None] + np.arange(EXPOSURES)) % EXPOSURES
    exposures = np.empty((m, EXPOSURES, EXPOSURE_BYTES), np.uint8)
    exposures[..., :4] = _bytes_of(states.exposed_item[at, slots], 4)
    exposures[..., 4:8] = _bytes_of(states.exposed_s[at, slots], 4)
    exposures[..., 8] = states.exposed_slot[at, slots]
    exposures[..., 9] = states.exposed_strategy[at, slots]
    exposures[..., 10] = states.exposed_propensity[at, slots]
    n_bought = np.minimum(states.n_bought[rows], BOUGHT)
    slots = ((states.n_bought[rows] - n_bought)[:, None] + np.arange(BOUGHT)) % BOUGHT
    columns: Sequence[tuple[bytes, int, list[int]]] = (
        (behaviours.tobytes(), BEHAVIOUR_BYTES, n_ring.tolist()),
        (exposures.tobytes(), EXPOSURE_BYTES, n_exposures.tolist()),
        (states.point[rows].tobytes(), POINT.itemsize, states.n_points[rows].tolist()),
        (states.histogram[rows].tobytes(), 4, np.where(states.older_s[rows] > 0, BINS, 0).tolist()),
        (states.bought[at, slots].tobytes(), 2, n_bought.tolist()),
    )
    strides = (RING, EXPOSURES, POINTS, BINS, BOUGHT)
    headers = zip(
        *(column.tolist() for column in (states.events[rows], states.fence[rows], states.first_s[rows])),
        *(column.tolist() for column in (states.last_ms[rows], states.older_s[rows])),
        strict=True,
    )
    packed = []
    for i, (events, fence, first_s, last_ms, older_s) in enumerate(headers):
        counts = [lengths[i] for _, _, lengths in columns]
        parts = [HEADER.pack(STATE_VERSION, 0, *counts[:3], counts[4], events, fence, first_s, last_ms, older_s)]
        for (buffer, width, _), stride, count in zip(columns, strides, counts, strict=True):
            if count:
                start = i * stride * width
                parts.append(buffer[start : start + count * width])
        packed.append(b"".join(parts))
    return packed


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


def _bytes_of(values: NDArray[np.generic], width: int) -> NDArray[np.uint8]:
    """The lower `width` bytes of each integer, little endian, as a further axis."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(*values.shape, values.dtype.itemsize)[..., :width]


def _widen(rows: NDArray[np.uint8], kind: str) -> NDArray[np.generic]:
    wide = np.zeros((len(rows), np.dtype(kind).itemsize), np.uint8)
    wide[:, : rows.shape[1]] = rows
    return wide.view(kind)[:, 0]

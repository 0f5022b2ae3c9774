"""Item records while deltas are added to them: one row an item, columns of fixed width, a compiled loop over the deltas.

At most so many neighbours stay per item: the lightest go first; of equal ones the highest hash goes. This is truncation,
not one of the frequent-item sketches with an error bound. SpaceSaving (Metwally et al., 2005) lets a newcomer inherit the
weight of the one it evicts, which overstates it, and weights here are shown to people as reasons. Misra-Gries (1982) subtracts
from every neighbour at each eviction, which understates the strong ones and rewrites the row each time. Truncation keeps every
weight that is there a true lower bound; its price is that a pair evicted again and again before it repeats never gathers
weight. Deltas are summed per commit before it, which lets repeated pairs in.

Tried and left out, in a simulation of pairs alone on shuffled online-retail with 300 places. NDCG@10 against truncation, with
a history that fades by place (0.9) and by the hour: 50, 100 or 150 places for the newest pairs (-.0010, -.0008, -.0020; +.0003,
-.0013, -.0013), 600 places (-.0001; +.0016), and the weight times N of the neighbour (+.0013; +.0011), for which a row would
have to know the neighbour's count: all have 0 in their intervals. Every pair: +.0014 [-.0009, .0040]; +.0039 [.0014, .0064].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8, U64
from models.calendar import DAY_MS
from models.compiled import compiled, compiled_part
from models.items.record import (
    ENTRY_DAYS,
    MOMENTS,
    NEVER_MS,
    TREND_DAYS,
    DeltaColumns,
    RecordColumns,
    pack_records,
    ragged,
    unpack_deltas,
    unpack_records,
)

TREND_MS = tuple(days * DAY_MS for days in TREND_DAYS)
"""`TREND_DAYS` in milliseconds."""

ENTRY_MS = tuple(days * DAY_MS for days in ENTRY_DAYS)
"""`ENTRY_DAYS` in milliseconds."""

TREND_UNIT = 0.02
"""Of decayed counts, where their logarithm is taken."""

LEAST_WEIGHT = 1e-9
"""Of a pair from which something was taken out: less is nothing but rounding."""

FEW = 32
"""Neighbours too many that are looked for one by one."""

_MIN_ROWS = 256


class _Columns(NamedTuple):
    """Row by row what `RecordColumns` holds; the first axis of each is the row."""

    count: I8  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    first_seen_ms: I8
    trend_ms: I8
    trend: F8
    """(n, len(TREND_DAYS))."""
    entry: F8
    """(n, len(ENTRY_DAYS))."""
    exposures: I8
    clicks: I8
    moments: I8
    """(n, MOMENTS)."""
    length: I8
    """Neighbours in use."""
    neighbours: U64
    """(n, W), ascending."""
    weights: F8
    """(n, W)."""
    forwards: F8
    """(n, W)."""
    fences: I8
    """(n, P): by source partition the last applied offset, -1 for none."""


class ItemRows:
    """Records of items by row number; at most `neighbours_max` neighbours are left in a record that deltas were added to."""

    def __init__(self, neighbours_max: int) -> None:
        self._limit = neighbours_max
        self._columns = _empty(_MIN_ROWS, neighbours_max, 1)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def row_bytes(self) -> int:
        """Memory of one row."""
        return sum(column[:1].nbytes for column in _arrays(self._columns))

    def add(self, values: Sequence[bytes | None]) -> NDArray[np.int64]:
        """New rows (m,) for packed records; None is an item nobody has met.

        Raises:
            ValueError: bytes that are no record.
        """
        rows = np.arange(self._size, self._size + len(values))
        stored = np.fromiter((value is not None for value in values), bool, len(values))
        records = unpack_records([value for value in values if value is not None])
        longest = int(np.diff(records.neighbour_start).max(initial=0))
        self._reserve(self._size + len(values), longest, int(records.fence_partition.max(initial=0)) + 1)
        self._size += len(values)
        at, c = rows[stored], self._columns
        for name in ("count", "first_seen_ms", "trend_ms", "trend", "entry", "exposures", "clicks", "moments"):
            getattr(c, name)[at] = getattr(records, name)
        c.length[at] = np.diff(records.neighbour_start)
        owner, place = ragged(records.neighbour_start)
        owner = at[owner]
        c.neighbours[owner, place], c.weights[owner, place] = records.neighbours, records.neighbour_weights
        c.forwards[owner, place] = records.neighbour_forwards
        c.fences[at[ragged(records.fence_start)[0]], records.fence_partition] = records.fence_offset
        return rows

    def apply(self, rows: NDArray[np.int64], values: Sequence[bytes]) -> None:
        """Add packed deltas (m,) to `rows` (m,); each source partition's deltas of an item stand in offset order.

        A delta whose source offset is at or below the row's fence of its source partition is skipped, so delivering deltas
        again changes nothing. Counts and decayed sums are sums: up to rounding, the order in which source partitions
        interleave does not matter. So are neighbours until more than `neighbours_max` are left after all deltas of this
        call; then the lightest go, which makes later calls depend on what went.

        Raises:
            ValueError: bytes that are no delta; nothing has been changed then.
        """
        self.apply_columns(rows, unpack_deltas(values))

    def apply_columns(self, rows: NDArray[np.int64], deltas: DeltaColumns) -> None:
        """What `apply` does with deltas that were never packed."""
        self._reserve(self._size, 0, int(deltas.source_partition.max(initial=0)) + 1)
        order = np.argsort(rows, kind="stable")
        starts = np.append(np.flatnonzero(np.diff(rows[order], prepend=-1)), len(rows))
        _apply(self._columns, rows, order, starts, deltas, self._limit)

    def pack(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Packed records of `rows` (m,)."""
        return pack_records(self.records(rows))

    def records(self, rows: NDArray[np.int64]) -> RecordColumns:
        """All that is known of `rows` (m,)."""
        c = self._columns
        neighbour_start = np.append(0, np.cumsum(c.length[rows]))
        neighbours = Neighbours(*(np.empty(neighbour_start[-1], kind) for kind in (np.uint64, np.float64, np.float64)))
        _take_neighbours(c.neighbours, c.weights, c.forwards, rows, neighbour_start, neighbours)
        fenced = c.fences[rows] >= 0
        return RecordColumns(
            count=c.count[rows],
            first_seen_ms=c.first_seen_ms[rows],
            trend_ms=c.trend_ms[rows],
            trend=c.trend[rows],
            entry=c.entry[rows],
            exposures=c.exposures[rows],
            clicks=c.clicks[rows],
            moments=c.moments[rows],
            neighbour_start=neighbour_start,
            neighbours=neighbours.hashes,
            neighbour_weights=neighbours.weights,
            neighbour_forwards=neighbours.forwards,
            fence_start=np.append(0, np.cumsum(fenced.sum(axis=1))),
            fence_partition=np.nonzero(fenced)[1],
            fence_offset=c.fences[rows][fenced],
        )

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Forget every row but these (m,), which become rows 0 .. m - 1 in that order."""
        old = self._columns
        self._columns = _empty(max(_MIN_ROWS, len(rows)), old.neighbours.shape[1], old.fences.shape[1])
        for before, after in zip(_arrays(old), _arrays(self._columns), strict=True):
            after[: len(rows)] = before[rows]
        self._size = len(rows)

    def _reserve(self, rows: int, neighbours: int, partitions: int) -> None:
        c = self._columns
        have = len(c.count), c.neighbours.shape[1], c.fences.shape[1]
        if rows <= have[0] and neighbours <= have[1] and partitions <= have[2]:
            return
        capacity = have[0] if rows <= have[0] else 1 << (rows - 1).bit_length()
        self._columns = _empty(capacity, max(neighbours, have[1]), max(partitions, have[2]))
        for before, after in zip(_arrays(c), _arrays(self._columns), strict=True):
            after[tuple(slice(length) for length in before.shape)] = before


def _empty(rows: int, neighbours: int, partitions: int) -> _Columns:
    def zeros(*shape: int, kind: str = "i8") -> NDArray[Any]:
        return np.zeros((rows, *shape), kind)

    columns = _Columns(
        count=zeros(),
        first_seen_ms=zeros(),
        trend_ms=zeros(),
        trend=zeros(len(TREND_DAYS), kind="f8"),
        entry=zeros(len(ENTRY_DAYS), kind="f8"),
        exposures=zeros(),
        clicks=zeros(),
        moments=zeros(MOMENTS),
        length=zeros(),
        neighbours=zeros(neighbours, kind="u8"),
        weights=zeros(neighbours, kind="f8"),
        forwards=zeros(neighbours, kind="f8"),
        fences=zeros(partitions),
    )
    columns.first_seen_ms[:] = NEVER_MS
    columns.fences[:] = -1
    return columns


def _arrays(columns: _Columns) -> list[NDArray[Any]]:
    return [getattr(columns, name) for name in columns._fields]


class Neighbours(NamedTuple):
    """Of one row, by hash ascending, in the first places of arrays that may be longer."""

    hashes: U64
    weights: F8
    forwards: F8


@compiled
def _apply(c: _Columns, rows: I8, order: I8, starts: I8, d: DeltaColumns, limit: int) -> None:
    room = c.neighbours.shape[1] + len(d.neighbours)
    row, merged = _room(room), _room(room)
    for group in range(len(starts) - 1):
        r = rows[order[starts[group]]]
        length = c.length[r]
        for n in range(length):  # slices take three times as long to compile
            row.hashes[n], row.weights[n], row.forwards[n] = c.neighbours[r, n], c.weights[r, n], c.forwards[r, n]
        changed = False
        for k in range(starts[group], starts[group + 1]):
            i = order[k]
            if d.source_offset[i] <= c.fences[r, d.source_partition[i]]:
                continue
            c.fences[r, d.source_partition[i]] = d.source_offset[i]
            changed = True
            _add_counts(c, r, d, i)
            length = _merge(row, length, d, i, merged)
            row, merged = merged, row
        if changed:
            length = keep_heaviest(row, length, limit)
            for n in range(length):
                c.neighbours[r, n], c.weights[r, n], c.forwards[r, n] = row.hashes[n], row.weights[n], row.forwards[n]
            c.length[r] = length


@compiled
def _take_neighbours(hashes: U64, weights: F8, forwards: F8, rows: I8, starts: I8, out: Neighbours) -> None:
    """Those in use of `rows`, one row behind another; row i's from `starts[i]` on."""
    to_hashes, to_weights, to_forwards = out.hashes, out.weights, out.forwards
    for i in range(len(rows)):
        # Unsigned, so that no place is asked whether it counts from the end, and runs become block moves.
        row, start, n = np.uint64(rows[i]), np.uint64(starts[i]), np.uint64(starts[i + 1] - starts[i])
        for k in range(n):
            to_hashes[start + k] = hashes[row, k]
        for k in range(n):
            to_weights[start + k] = weights[row, k]
        for k in range(n):
            to_forwards[start + k] = forwards[row, k]


@compiled_part
def _room(size: int) -> Neighbours:
    return Neighbours(np.empty(size, np.uint64), np.empty(size), np.empty(size))


@compiled_part
def _add_counts(c: _Columns, r: int, d: DeltaColumns, i: int) -> None:
    """Everything of delta i but its neighbours."""
    # Never below nothing: what is taken out may have been added to a record that has expired since.
    c.count[r] = max(0, c.count[r] + d.count[i])
    c.exposures[r] = max(0, c.exposures[r] + d.exposures[i])
    c.clicks[r] = max(0, c.clicks[r] + d.clicks[i])
    for m in range(c.moments.shape[1]):
        c.moments[r, m] = max(0, c.moments[r, m] + d.moments[i, m])
    if d.count[i] < 0 and c.count[r] == 0:  # everybody who engaged with it is erased
        c.first_seen_ms[r], c.trend_ms[r] = NEVER_MS, 0
        for t in range(len(TREND_MS)):
            c.trend[r, t] = 0.0
        for t in range(len(ENTRY_MS)):
            c.entry[r, t] = 0.0
        for m in range(c.moments.shape[1]):
            c.moments[r, m] = 0
        return
    latest = max(c.trend_ms[r], d.trend_ms[i])
    aged, late = latest - c.trend_ms[r], latest - d.trend_ms[i]
    for t in range(len(TREND_MS)):
        more = d.trend[i, t] * np.exp(-late / TREND_MS[t])
        c.trend[r, t] = c.trend[r, t] * np.exp(-aged / TREND_MS[t]) + more
    for t in range(len(ENTRY_MS)):
        more = d.entry[i, t] * np.exp(-late / ENTRY_MS[t])
        c.entry[r, t] = c.entry[r, t] * np.exp(-aged / ENTRY_MS[t]) + more
    c.trend_ms[r] = latest
    c.first_seen_ms[r] = min(c.first_seen_ms[r], d.first_seen_ms[i])


@compiled_part
def _merge(row: Neighbours, length: int, d: DeltaColumns, i: int, merged: Neighbours) -> int:
    """Write a row and delta i's neighbours, both ascending, to `merged`, adding up what both have; how many there are."""
    hashes, weights, forwards = row.hashes, row.weights, row.forwards
    to_hashes, to_weights, to_forwards = merged.hashes, merged.weights, merged.forwards
    a, n, end = np.uint64(0), np.uint64(0), np.uint64(length)  # unsigned: not asked whether they count from the end
    for b in range(d.neighbour_start[i], d.neighbour_start[i + 1]):
        wanted, weight, forward = d.neighbours[b], d.neighbour_weights[b], d.neighbour_forwards[b]
        while a < end and hashes[a] < wanted:
            to_hashes[n], to_weights[n], to_forwards[n] = hashes[a], weights[a], forwards[a]
            a += np.uint64(1)
            n += np.uint64(1)
        is_taken_out = weight < 0.0
        if a < end and hashes[a] == wanted:
            weight, forward = weights[a] + weight, forwards[a] + forward
            a += np.uint64(1)
        if is_taken_out:
            if weight <= LEAST_WEIGHT:  # nobody else had the pair, or it was evicted
                continue
            forward = max(0.0, forward)
        to_hashes[n], to_weights[n], to_forwards[n] = wanted, weight, forward
        n += np.uint64(1)
    while a < end:
        to_hashes[n], to_weights[n], to_forwards[n] = hashes[a], weights[a], forwards[a]
        a += np.uint64(1)
        n += np.uint64(1)
    return np.int64(n)  # type: ignore[return-value]  # an int to what calls it


@compiled
def keep_heaviest(row: Neighbours, length: int, limit: int) -> int:
    """Move the `limit` heaviest of `length` neighbours to the front, in their order; how many are left."""
    excess = length - limit
    if excess <= 0:
        return length
    worth = row.weights[:length].copy()
    bar = _bar_of_few(worth, excess) if excess <= FEW else smallest(worth.copy(), excess - 1)
    lighter, equal = 0, 0
    for k in range(length):
        lighter += worth[k] < bar
        equal += worth[k] == bar
    equal_stay = equal - (excess - lighter)
    n = 0
    for k in range(length):
        if worth[k] > bar or (worth[k] == bar and equal_stay > 0):
            if worth[k] == bar:
                equal_stay -= 1
            row.hashes[n], row.weights[n], row.forwards[n] = row.hashes[k], row.weights[k], row.forwards[k]
            n += 1
    return n


@compiled_part
def _bar_of_few(values: F8, n: int) -> float:
    """The n-th smallest: the n smallest so far are kept in order, and after the first few nearly every value is larger than
    them all. A delta brings few newcomers to a row of hundreds: a fifth of what `smallest` takes."""
    low = np.full(n, np.inf)
    for k in range(len(values)):
        value = values[k]
        if value < low[n - 1]:
            place = n - 1
            while place > 0 and low[place - 1] > value:
                low[place] = low[place - 1]
                place -= 1
            low[place] = value
    found: float = low[n - 1]
    return found


@compiled_part
def smallest(values: NDArray[Any], at: int) -> Any:
    """What would stand at place `at` if `values` were sorted; puts them into another order. Hoare's FIND (1961): about three
    looks at each value, and a tenth of what `np.sort` takes to compile."""
    low, high = 0, len(values) - 1
    while low < high:
        middle, i, j = values[at], low, high
        while i <= j:
            while values[i] < middle:
                i += 1
            while middle < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if j < at:
            low = i
        if at < i:
            high = j
    return values[at]

"""Statistics of all items as every worker has them: the arrays it ranks with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.arrays import F8, I4, I8
from models.compiled import compiled
from models.items.growing import GrowingArray
from models.items.index import NO_INDEX, ItemIndex
from models.items.record import (
    ENTRY_DAYS,
    MOMENTS,
    NEVER_MS,
    TREND_DAYS,
    RecordColumns,
    unpack_records,
)
from models.items.rows import Neighbours, keep_heaviest

_NEIGHBOUR_BYTES: Final = 4 + 8 + 8

NO_NEIGHBOURS = 0
"""Row of `ItemStatistics.neighbours` that is empty."""


class ItemStatistics:
    """A worker's replica of every item's record, as arrays by dense index. Rows 0 .. size - 1 are valid.

    The arrays are views that the next `put` may replace: read them from here each time, and do not write to them. Most items
    of a large catalogue have no neighbours, nine tenths of what is held of an item; so only an item that has some
    has a row of them, and `neighbour_row` says which.
    """

    def __init__(self, index: ItemIndex, neighbours_max: int, max_bytes: int | None = None) -> None:
        """Empty.

        Args:
            index: numbers items and their neighbours.
            neighbours_max: W, how many neighbours are kept of an item at most.
            max_bytes: of memory. What the items leave of it is for neighbours; an item for which they have no room has none
                here. None: no bound.
        """
        self._index, self._max_bytes = index, max_bytes
        self._width = neighbours_max
        self.size = 0
        """Number of items."""
        self.known = 0
        """Items that anybody engaged with or was shown."""
        self.version = 0
        """How many times `put` changed something."""
        self._count = GrowingArray(np.float64)
        self._first_seen_ms = GrowingArray(np.int64, fill=NEVER_MS)
        self._trend = GrowingArray(np.float64, len(TREND_DAYS))
        self._entry = GrowingArray(np.float64, len(ENTRY_DAYS))
        self._trend_ms = GrowingArray(np.int64)
        self._exposures = GrowingArray(np.int64)
        self._clicks = GrowingArray(np.int64)
        self._moments = GrowingArray(np.int64, MOMENTS)
        self.moment_totals = np.zeros(MOMENTS, np.int64)
        """(MOMENTS,) int64: `moments` of all items."""
        self._neighbour_row = GrowingArray(np.int32, fill=NO_NEIGHBOURS)
        self._neighbours = GrowingArray(np.int32, neighbours_max, fill=NO_INDEX)
        self._neighbour_weights = GrowingArray(np.float64, neighbours_max)
        self._neighbour_forwards = GrowingArray(np.float64, neighbours_max)
        self._free_rows: list[int] = []
        """Rows of neighbours of items that are gone."""
        self._lacks_row = GrowingArray(np.bool_)
        self._grow_neighbours(NO_NEIGHBOURS + 1)

    @property
    def nbytes(self) -> int:
        """Memory of the rows in use, in bytes."""
        neighbours = (self._neighbours, self._neighbour_weights, self._neighbour_forwards)
        return self._items_nbytes + sum(column.values.nbytes for column in neighbours)

    def _known_among(self, rows: NDArray[np.int64]) -> int:
        return int(np.count_nonzero((self.count[rows] > 0.0) | (self.exposures[rows] > 0)))

    @property
    def is_full(self) -> bool:
        """Whether items have a quarter of the memory by themselves, so that no more should come that need not."""
        return self._max_bytes is not None and self._items_nbytes >= self._max_bytes // 4

    @property
    def without_neighbours(self) -> int:
        """Items whose neighbours have no room."""
        return int(np.count_nonzero(self._lacks_row.values))

    @property
    def _items_nbytes(self) -> int:
        columns = (
            self._count,
            self._first_seen_ms,
            self._trend,
            self._entry,
            self._trend_ms,
            self._exposures,
            self._clicks,
            self._moments,
            self._neighbour_row,
            self._lacks_row,
        )
        return sum(column.values.nbytes for column in columns)

    @property
    def count(self) -> NDArray[np.float64]:
        """(n,) float64: first-time engagements."""
        return self._count.values

    @property
    def first_seen_ms(self) -> NDArray[np.int64]:
        """(n,) int64: time of the first one, `NEVER_MS` where there is none."""
        return self._first_seen_ms.values

    @property
    def trend(self) -> NDArray[np.float64]:
        """(n, len(TREND_DAYS)) float64: engagements decayed with each of `TREND_DAYS`, as of `trend_ms`."""
        return self._trend.values

    @property
    def entry(self) -> NDArray[np.float64]:
        """(n, len(ENTRY_DAYS)) float64: those that were their user's first with anything, decayed with each of `ENTRY_DAYS`, as
        of `trend_ms`."""
        return self._entry.values

    @property
    def trend_ms(self) -> NDArray[np.int64]:
        """(n,) int64."""
        return self._trend_ms.values

    @property
    def exposures(self) -> NDArray[np.int64]:
        """(n,) int64: how often the item was shown."""
        return self._exposures.values

    @property
    def clicks(self) -> NDArray[np.int64]:
        """(n,) int64: clicks on it where it was shown."""
        return self._clicks.values

    @property
    def moments(self) -> NDArray[np.int64]:
        """(n, MOMENTS) int64: when and where it was engaged with."""
        return self._moments.values

    @property
    def neighbour_row(self) -> NDArray[np.int32]:
        """(n,) int32: the row of the three arrays below that is the item's; `NO_NEIGHBOURS` where it has none."""
        return self._neighbour_row.values

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """(m, W) int32: co-occurring items, each once, padded with -1. Every one of them is below `size`."""
        return self._neighbours.values

    @property
    def neighbour_weights(self) -> NDArray[np.float64]:
        """(m, W) float64: C[item, neighbour], 0 where padded."""
        return self._neighbour_weights.values

    @property
    def neighbour_forwards(self) -> NDArray[np.float64]:
        """(m, W) float64: the same of engagements with the item before those with the neighbour."""
        return self._neighbour_forwards.values

    def cover(self, size: int) -> None:
        """Have rows for at least `size` items; those that nobody told about are empty."""
        self._grow(size)

    def put(self, rows: ArrayLike, values: Sequence[bytes]) -> RecordColumns:
        """Replace whole rows: packed record i is all that is known of the item with dense index `rows[i]`, (n,) different int.

        Neighbours not met before are added to the index. Returns what is in the records.

        Raises:
            ValueError: bytes that are no record; nothing has been changed then.
        """
        records = unpack_records(values)
        if len(values):
            self.put_columns(rows, records)
        return records

    def put_columns(self, rows: ArrayLike, records: RecordColumns) -> None:
        """What `put` does with records that were never packed."""
        at = np.asarray(rows, np.int64)
        starts = records.neighbour_start
        neighbours = Neighbours(records.neighbours, records.neighbour_weights, records.neighbour_forwards)
        if int(np.diff(starts).max(initial=0)) > self._width:
            starts, neighbours = _narrowed(starts, neighbours, self._width)
        found = self._index.intern(neighbours.hashes)
        self._grow(max(len(self._index), int(at.max()) + 1))
        self.moment_totals += records.moments.sum(axis=0) - self.moments[at].sum(axis=0)
        self.known -= self._known_among(at)
        for name in ("count", "first_seen_ms", "trend_ms", "trend", "entry", "exposures", "clicks", "moments"):
            getattr(self, name)[at] = getattr(records, name)
        self.known += self._known_among(at)
        rows_of = self._rows_of(at, np.diff(starts) > 0)
        _put_neighbours(
            self.neighbours, self.neighbour_weights, self.neighbour_forwards, rows_of, starts, found, neighbours
        )
        self.version += 1

    def remove(self, rows: ArrayLike) -> None:
        """Nothing is known any more of the items with these dense indices, (n,) different int below `size`. Others keep them as
        neighbours."""
        at = np.asarray(rows, np.int64)
        self.moment_totals -= self.moments[at].sum(axis=0)
        self.known -= self._known_among(at)
        for column in (self.count, self.trend_ms, self.trend, self.entry, self.exposures, self.clicks, self.moments):
            column[at] = 0
        self.first_seen_ms[at] = NEVER_MS
        freed = self.neighbour_row[at]
        freed = freed[freed != NO_NEIGHBOURS]
        self.neighbours[freed] = NO_INDEX
        self.neighbour_weights[freed] = self.neighbour_forwards[freed] = 0.0
        self._free_rows += freed.tolist()
        self.neighbour_row[at] = NO_NEIGHBOURS
        self._lacks_row.values[at] = False
        self.version += 1

    def _rows_of(self, items: NDArray[np.int64], has_some: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Rows of neighbours of these items, others' former or new ones for those that need one for the first time."""
        newcomers = items[has_some & (self.neighbour_row[items] == NO_NEIGHBOURS)]
        if self._max_bytes is not None:
            room_bytes = self._max_bytes - self._items_nbytes
            rows = room_bytes // (self._width * _NEIGHBOUR_BYTES)
            room = max(0, rows - len(self._neighbours) + len(self._free_rows))
            newcomers, refused = newcomers[:room], newcomers[room:]
            self._lacks_row.values[newcomers], self._lacks_row.values[refused] = False, True
        again = self._free_rows[: len(newcomers)]
        del self._free_rows[: len(newcomers)]
        used, more = len(self._neighbours), len(newcomers) - len(again)
        self._grow_neighbours(used + more)
        self.neighbour_row[newcomers] = np.concatenate([np.array(again, np.int64), np.arange(used, used + more)])
        return self.neighbour_row[items].astype(np.int64)

    def _grow(self, size: int) -> None:
        self.size = max(self.size, size)
        for column in (self._count, self._first_seen_ms, self._trend, self._entry, self._trend_ms, self._exposures,
                       self._clicks, self._moments, self._neighbour_row, self._lacks_row):  # fmt: skip
            column.grow(self.size)

    def _grow_neighbours(self, rows: int) -> None:
        for column in (self._neighbours, self._neighbour_weights, self._neighbour_forwards):
            column.grow(rows)


@compiled
def _put_neighbours(items: I4, weights: F8, forwards: F8, rows: I8, starts: I8, found: I4, given: Neighbours) -> None:
    """Neighbours in compressed rows, `found` their indices, into `rows` of arrays (m, W); the rest of each row is empty."""
    from_weights, from_forwards = given.weights, given.forwards
    for i in range(len(rows)):
        if rows[i] == NO_NEIGHBOURS:
            continue
        # Unsigned, so that no place is asked whether it counts from the end, and runs become block moves.
        row, start, n = np.uint64(rows[i]), np.uint64(starts[i]), np.uint64(starts[i + 1] - starts[i])
        for k in range(n):
            items[row, k] = found[start + k]
        for k in range(n):
            weights[row, k] = from_weights[start + k]
        for k in range(n):
            forwards[row, k] = from_forwards[start + k]
        for k in range(n, np.uint64(items.shape[1])):
            items[row, k], weights[row, k], forwards[row, k] = NO_INDEX, 0.0, 0.0


def _narrowed(starts: NDArray[np.int64], rows: Neighbours, width: int) -> tuple[NDArray[np.int64], Neighbours]:
    """The same compressed rows with the heaviest `width` neighbours of each: the records may be a more generous worker's."""
    kept = []
    for begin, end in pairwise(starts.tolist()):
        left = keep_heaviest(_at(rows, slice(begin, end)), end - begin, width)
        kept.append(np.arange(begin, begin + left))
    index = np.concatenate(kept)
    return np.append(0, np.cumsum([len(each) for each in kept])), _at(rows, index)


def _at(rows: Neighbours, index: slice | NDArray[np.int64]) -> Neighbours:
    return Neighbours(rows.hashes[index], rows.weights[index], rows.forwards[index])

"""Statistics of all items as every worker has them: the arrays it ranks with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.arrays import F8, I4, I8
from models.compiled import compiled
from models.items.index import NO_INDEX, ItemIndex
from models.items.record import (
    MOMENTS,
    NEVER_MS,
    TREND_DAYS,
    RecordColumns,
    unpack_records,
)
from models.items.rows import Neighbours, keep_heaviest

_FIRST_CAPACITY = 1024


class ItemStatistics:
    """A worker's replica of every item's record, as arrays by dense index. Rows 0 .. size - 1 are valid.

    The arrays are views that the next `put` may replace: read them from here each time, and do not write to them.
    """

    def __init__(self, index: ItemIndex, neighbours_max: int) -> None:
        """`index` numbers items and their neighbours; at most `neighbours_max` (W) neighbours are kept per item."""
        self._index = index
        self._width = neighbours_max
        self.size = 0
        """Number of rows."""
        self.version = 0
        """How many times `put` changed something."""
        self._allocate(_FIRST_CAPACITY)

    @property
    def count(self) -> NDArray[np.float64]:
        """(n,) float64: first-time engagements."""
        return self._count[: self.size]

    @property
    def first_seen_ms(self) -> NDArray[np.int64]:
        """(n,) int64: time of the first one, `NEVER_MS` where there is none."""
        return self._first_seen_ms[: self.size]

    @property
    def trend(self) -> NDArray[np.float64]:
        """(n, 3) float64: engagements decayed with each of `TREND_DAYS`, as of `trend_ms`."""
        return self._trend[: self.size]

    @property
    def trend_ms(self) -> NDArray[np.int64]:
        """(n,) int64."""
        return self._trend_ms[: self.size]

    @property
    def exposures(self) -> NDArray[np.int64]:
        """(n,) int64: how often the item was shown."""
        return self._exposures[: self.size]

    @property
    def clicks(self) -> NDArray[np.int64]:
        """(n,) int64: clicks on it where it was shown."""
        return self._clicks[: self.size]

    @property
    def moments(self) -> NDArray[np.int64]:
        """(n, MOMENTS) int64: when and where it was engaged with."""
        return self._moments[: self.size]

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """(n, W) int32: co-occurring items, each once, padded with -1. Every one of them is below `size`."""
        return self._neighbours[: self.size]

    @property
    def neighbour_weights(self) -> NDArray[np.float64]:
        """(n, W) float64: C[item, neighbour], 0 where padded."""
        return self._neighbour_weights[: self.size]

    @property
    def neighbour_forwards(self) -> NDArray[np.float64]:
        """(n, W) float64: the same of engagements with the item before those with the neighbour."""
        return self._neighbour_forwards[: self.size]

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
        for name in ("count", "first_seen_ms", "trend_ms", "trend", "exposures", "clicks", "moments"):
            getattr(self, f"_{name}")[at] = getattr(records, name)
        _put_neighbours(
            self._neighbours, self._neighbour_weights, self._neighbour_forwards, at, starts, found, neighbours
        )
        self.version += 1

    def _allocate(self, capacity: int) -> None:
        self._count = np.zeros(capacity, np.float64)
        self._first_seen_ms = np.full(capacity, NEVER_MS, np.int64)
        self._trend = np.zeros((capacity, len(TREND_DAYS)), np.float64)
        self._trend_ms = np.zeros(capacity, np.int64)
        self._exposures = np.zeros(capacity, np.int64)
        self._clicks = np.zeros(capacity, np.int64)
        self._moments = np.zeros((capacity, MOMENTS), np.int64)
        self._neighbours = np.full((capacity, self._width), NO_INDEX, np.int32)
        self._neighbour_weights = np.zeros((capacity, self._width), np.float64)
        self._neighbour_forwards = np.zeros((capacity, self._width), np.float64)

    def _grow(self, size: int) -> None:
        if size > self._count.size:
            names = [name for name, value in vars(self).items() if isinstance(value, np.ndarray)]
            before = {name: getattr(self, name) for name in names}
            self._allocate(1 << (size - 1).bit_length())
            for name, values in before.items():
                getattr(self, name)[: self.size] = values[: self.size]
        self.size = max(self.size, size)


@compiled
def _put_neighbours(items: I4, weights: F8, forwards: F8, rows: I8, starts: I8, found: I4, given: Neighbours) -> None:
    """Neighbours in compressed rows, `found` their indices, into `rows` of arrays (n, W); the rest of each row is empty."""
    for i in range(len(rows)):
        row, n = rows[i], starts[i + 1] - starts[i]
        for k in range(items.shape[1]):
            if k < n:
                items[row, k] = found[starts[i] + k]
                weights[row, k] = given.weights[starts[i] + k]
                forwards[row, k] = given.forwards[starts[i] + k]
            else:
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

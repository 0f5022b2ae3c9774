"""Statistics of all items: how deltas become records, and the arrays every worker ranks with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.item_index import NO_INDEX, ItemIndex
from models.item_record import NEVER_MS, TREND_DAYS, ItemDelta, ItemRecord, Trend

DAY_MS = 86_400_000
TREND_MS = tuple(days * DAY_MS for days in TREND_DAYS)
"""`TREND_DAYS` in milliseconds."""

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
    def neighbours(self) -> NDArray[np.int32]:
        """(n, W) int32: co-occurring items, each once, padded with -1. Every one of them is below `size`."""
        return self._neighbours[: self.size]

    @property
    def neighbour_weights(self) -> NDArray[np.float64]:
        """(n, W) float64: C[item, neighbour], 0 where padded."""
        return self._neighbour_weights[: self.size]

    def put(self, rows: ArrayLike, records: Sequence[ItemRecord]) -> None:
        """Replace whole rows: record i is all that is known of the item with dense index `rows[i]`, (n,) int.

        Neighbours not met before are added to the index. Of a row given twice the later record stays.
        """
        at = np.asarray(rows, np.int64)
        if not at.size:
            return
        last = {row: i for i, row in enumerate(at.tolist())}
        if len(last) < at.size:
            at, records = np.fromiter(last, np.int64), [records[i] for i in last.values()]
        kept = [heaviest(record.neighbours, self._width) for record in records]
        lengths = np.fromiter(map(len, kept), np.int64)
        hashes = np.fromiter(chain.from_iterable(kept), np.uint64, int(lengths.sum()))
        weights = np.fromiter(chain.from_iterable(each.values() for each in kept), np.float64, hashes.size)
        found = self._index.intern(hashes)
        self._grow(max(len(self._index), int(at.max()) + 1))

        self._count[at] = [record.count for record in records]
        self._first_seen_ms[at] = [record.first_seen_ms for record in records]
        self._trend_ms[at] = [record.trend_ms for record in records]
        self._trend[at] = [record.trend for record in records]
        self._exposures[at] = [record.exposures for record in records]
        self._clicks[at] = [record.clicks for record in records]
        owner = np.repeat(at, lengths)
        column = np.arange(hashes.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._neighbours[at] = NO_INDEX
        self._neighbour_weights[at] = 0.0
        self._neighbours[owner, column] = found
        self._neighbour_weights[owner, column] = weights
        self.version += 1

    def _allocate(self, capacity: int) -> None:
        self._count = np.zeros(capacity, np.float64)
        self._first_seen_ms = np.full(capacity, NEVER_MS, np.int64)
        self._trend = np.zeros((capacity, len(TREND_DAYS)), np.float64)
        self._trend_ms = np.zeros(capacity, np.int64)
        self._exposures = np.zeros(capacity, np.int64)
        self._clicks = np.zeros(capacity, np.int64)
        self._neighbours = np.full((capacity, self._width), NO_INDEX, np.int32)
        self._neighbour_weights = np.zeros((capacity, self._width), np.float64)

    def _grow(self, size: int) -> None:
        if size > self._count.size:
            names = [name for name, value in vars(self).items() if isinstance(value, np.ndarray)]
            before = {name: getattr(self, name) for name in names}
            self._allocate(1 << (size - 1).bit_length())
            for name, values in before.items():
                getattr(self, name)[: self.size] = values[: self.size]
        self.size = max(self.size, size)


def apply_deltas(
    records: Sequence[ItemRecord], deltas: Sequence[Sequence[ItemDelta]], neighbours_max: int
) -> list[ItemRecord]:
    """The records after their deltas: `deltas[i]` belong to `records[i]`, each source partition's in offset order.

    A delta whose source offset is at or below the record's fence of its source partition is skipped, so delivering
    deltas again changes nothing; a record none of whose deltas is new is returned as the same object. Counts and
    decayed sums are sums: up to rounding, the order in which source partitions interleave does not matter. So are
    neighbours until more than `neighbours_max` are left after all deltas of this call; then `heaviest` drops some,
    which makes later calls depend on what was dropped.
    """
    return [
        _applied(record, added, neighbours_max) if added else record
        for record, added in zip(records, deltas, strict=True)
    ]


def heaviest(neighbours: Mapping[int, float], limit: int) -> Mapping[int, float]:
    """At most `limit` of `neighbours` (hash -> weight): the lightest go first; of equal ones the highest hash goes.

    This is truncation, not one of the frequent-item sketches with an error bound. SpaceSaving (Metwally et al., 2005)
    lets a newcomer inherit the weight of the one it evicts, which overstates it, and weights here are shown to people
    as reasons. Misra-Gries (1982) subtracts from every neighbour at each eviction, which understates the strong ones
    and rewrites the row each time. Truncation keeps every weight that is there a true lower bound; its price is that
    a pair evicted again and again before it repeats never gathers weight. Deltas are summed per commit before it,
    which lets repeated pairs in.
    """
    excess = len(neighbours) - limit
    if excess <= 0:
        return neighbours
    bar = min(neighbours.values()) if excess == 1 else sorted(neighbours.values())[excess - 1]
    light = [item for item, weight in neighbours.items() if weight <= bar]
    if len(light) > excess:
        light.sort(key=lambda item: (neighbours[item], -item))
    kept = dict(neighbours)
    for item in light[:excess]:
        del kept[item]
    return kept


def _applied(record: ItemRecord, deltas: Sequence[ItemDelta], neighbours_max: int) -> ItemRecord:
    fences = dict(record.fences)
    new = []
    for delta in deltas:
        if delta.source_offset > fences.get(delta.source_partition, -1):
            fences[delta.source_partition] = delta.source_offset
            new.append(delta)
    if not new:
        return record
    count, first_seen_ms, exposures, clicks = record.count, record.first_seen_ms, record.exposures, record.clicks
    trend_ms = max(record.trend_ms, *[delta.trend_ms for delta in new])
    trend = _decayed(record.trend, trend_ms - record.trend_ms)
    neighbours = dict(record.neighbours)
    for delta in new:
        count += delta.count
        exposures += delta.exposures
        clicks += delta.clicks
        if delta.count:
            first_seen_ms = min(first_seen_ms, delta.first_seen_ms)
            more = _decayed(delta.trend, trend_ms - delta.trend_ms)
            trend = (trend[0] + more[0], trend[1] + more[1], trend[2] + more[2])
        for item, weight in delta.neighbours.items():
            neighbours[item] = neighbours.get(item, 0.0) + weight
    return ItemRecord(
        count, first_seen_ms, trend_ms, trend, exposures, clicks, heaviest(neighbours, neighbours_max), fences
    )


def _decayed(trend: Trend, age_ms: int) -> Trend:
    if not age_ms:
        return trend
    return (
        trend[0] * exp(-age_ms / TREND_MS[0]),
        trend[1] * exp(-age_ms / TREND_MS[1]),
        trend[2] * exp(-age_ms / TREND_MS[2]),
    )

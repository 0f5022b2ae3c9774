"""What is the same whoever is asking: the items proposed to everyone, and how often anything happens at each moment."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8, U64
from models.compiled import compiled, compiled_part
from models.items.catalog import Catalog
from models.items.categories import NO_SHARES, CategoryShares, count_engagements, shares_of
from models.items.record import MOMENT_STARTS, MOMENTS
from models.items.rows import ENTRY_MS, TREND_MS
from models.items.stats import ItemStatistics
from models.vocabulary import EXPERTS

PRIOR_CANDIDATES = 200
"""Items proposed to everyone by trend, and as many by popularity."""


NEW_CANDIDATES = 50
"""Items that nobody has engaged with, proposed to everyone: the ones that came last."""

SLICE_ITEMS: Final = 100_000
"""Items that are looked at in one go: some 5 ms."""

_POPULARITY = EXPERTS.index("popularity")
_TREND_WEEK = EXPERTS.index("trend_week")


class Priors(NamedTuple):
    """Computed once per version of statistics and catalogue and per second or so; a little out of date is harmless."""

    candidates: NDArray[np.int32]
    """(c,) int32 ascending, distinct: the recommendable items that lead by trend or popularity or are new, proposed to all."""
    with_leaders: tuple[NDArray[np.int32], ...]
    """The same with those that lead by each of `EXPERTS`: proposed to all while newcomers get that expert's list."""
    leaders: NDArray[np.int32]
    """(E, k) int32: the items that lead by each of `EXPERTS`, best first, -1 pads."""
    moment_shares: NDArray[np.float64]
    """(MOMENTS,) float64: share of each bin in its group, over all engagements; 0 where there are none."""
    stats_version: int
    catalog_version: int
    now_ms: int
    categories: CategoryShares = NO_SHARES
    """How usual each one is among all engagements."""


class _Leaders(NamedTuple):
    """The k items that lead by each of `EXPERTS`, best first; places from `n` on are empty."""

    value: F8
    """(E, k); likewise below."""
    count: F8  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    hashed: U64
    item: I8
    n: I8
    """(E,)."""


class PriorsInTheMaking:
    """Priors of all items at `now_ms`, some items at a time: what leads is found in one pass that may be interrupted. Between
    two steps statistics and catalogue may change; what is made is then of either."""

    def __init__(
        self, catalog: Catalog, stats: ItemStatistics, candidates_each: int, new_items: int, now_ms: int
    ) -> None:
        """See `compute_priors`."""
        self._catalog, self._stats, self._now_ms = catalog, stats, now_ms
        self._versions = stats.version, catalog.version
        self._leaders = _leaders(candidates_each)
        self._newest = np.full(new_items, -1, np.int64)
        self._met = np.zeros(1, np.int64)
        self._engagements, self._engaged = np.zeros(len(catalog.categories)), np.zeros(1)
        self._at = 0
        self._end = len(catalog.recommendable)

    def step(self, items: int) -> Priors | None:
        """Look at so many items more; the priors once all have been looked at."""
        stats, begin = self._stats, self._at
        self._at = min(begin + items, self._end)
        _look(
            begin, self._at, self._catalog.recommendable, self._catalog.index.hashes, stats.count, stats.trend, stats.entry,
            stats.trend_ms, self._now_ms, self._leaders, self._newest, self._met,
        )  # fmt: skip
        count_engagements(begin, self._at, self._catalog.categories.of, stats.count, self._engagements, self._engaged)
        return None if self._at < self._end else self._made()

    def _made(self) -> Priors:
        items, used = self._leaders.item, self._leaders.n
        leading = [row[:n] for row, n in zip(items, used.tolist(), strict=True)]
        always = np.concatenate((leading[_TREND_WEEK], leading[_POPULARITY], self._newest[self._newest >= 0]))
        candidates = np.unique(always).astype(np.int32)
        with_leaders = tuple(np.union1d(candidates, row).astype(np.int32) for row in leading)
        leaders = np.where(np.arange(items.shape[1]) < used[:, None], items, -1).astype(np.int32)
        categories = shares_of(self._engagements, self._engaged[0]) if len(self._engagements) else NO_SHARES
        moments = _moment_shares(self._stats)
        return Priors(candidates, with_leaders, leaders, moments, *self._versions, self._now_ms, categories)


def compute_priors(
    catalog: Catalog, stats: ItemStatistics, *, candidates_each: int, new_items: int = 0, now_ms: int
) -> Priors:
    """Priors of all items at `now_ms`.

    `candidates_each` items are proposed by trend and as many by popularity. Of equal ones the higher count comes
    first, then the lower hash, so without any statistics there still are candidates, the same on every worker. `new_items`
    more are those that nobody has engaged with and that were numbered last.
    """
    made = PriorsInTheMaking(catalog, stats, candidates_each, new_items, now_ms).step(len(catalog.recommendable))
    assert made is not None, "all items were looked at"
    return made


def _leaders(k: int) -> _Leaders:
    shape = len(EXPERTS), k
    return _Leaders(
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape, np.uint64),
        np.zeros(shape, np.int64),
        np.zeros(len(EXPERTS), np.int64),
    )


def _moment_shares(stats: ItemStatistics) -> NDArray[np.float64]:
    counted: NDArray[np.float64] = stats.moment_totals.astype(np.float64)
    for begin, end in zip(MOMENT_STARTS, (*MOMENT_STARTS[1:], MOMENTS), strict=True):
        total = counted[begin:end].sum()
        counted[begin:end] /= max(total, 1.0)
    return counted


@compiled
def _look(
    begin: int,
    end: int,
    allowed: NDArray[np.bool_],
    hashes: U64,
    count: F8,
    trend: F8,
    entry: F8,
    trend_ms: I8,
    now_ms: int,
    leaders: _Leaders,
    newest: I8,
    met: I8,
) -> None:
    """Let items `begin` to `end` take part; beyond the statistics nobody has engaged. `newest` is filled round and round."""
    # Arrays one by one: a tuple of arrays costs two atomic counts an array each time.
    led, counts, hashed, items, used = leaders.value, leaders.count, leaders.hashed, leaders.item, leaders.n
    last = led.shape[1] - 1
    known, place = len(count), met[0]
    values = np.zeros(len(led))
    for j in range(begin, end):
        if not allowed[j]:
            continue
        values[:] = 0.0
        n = count[j] if j < known else 0.0
        if n > 0.0:
            _judge(n, trend[j], entry[j], max(now_ms - trend_ms[j], 0), values)
        for e in range(len(values)):
            if used[e] <= last or (last >= 0 and values[e] >= led[e, last]):
                _enter(led[e], counts[e], hashed[e], items[e], used[e : e + 1], values[e], n, hashes[j], j)
        if n == 0.0 and len(newest):
            newest[place] = j
            place = place + 1 if place + 1 < len(newest) else 0
    met[0] = place


@compiled_part
def _judge(count: float, trend: F8, entry: F8, since_ms: int, values: F8) -> None:
    """Fill (E,) `values`, in the order of `EXPERTS`."""
    values[0] = count
    for t in range(len(TREND_MS)):
        values[1 + t] = trend[t] * np.exp(-since_ms / TREND_MS[t])
    for t in range(len(ENTRY_MS)):
        values[1 + len(TREND_MS) + t] = entry[t] * np.exp(-since_ms / ENTRY_MS[t])


@compiled_part
def _enter(
    values: F8, counts: F8, hashes: U64, items: I8, used: I8, value: float, count: float, hashed: int, j: int
) -> None:
    """Put item j in its place among the leaders, if it is one."""
    n = used[0]
    if n == len(values):
        if n == 0 or not _is_before(value, count, hashed, values[n - 1], counts[n - 1], hashes[n - 1]):
            return
        n -= 1
    while n > 0 and _is_before(value, count, hashed, values[n - 1], counts[n - 1], hashes[n - 1]):
        values[n], counts[n], hashes[n], items[n] = values[n - 1], counts[n - 1], hashes[n - 1], items[n - 1]
        n -= 1
    values[n], counts[n], hashes[n], items[n] = value, count, hashed, j
    used[0] = min(used[0] + 1, len(values))


@compiled_part
def _is_before(value: float, count: float, hashed: int, value_2: float, count_2: float, hashed_2: int) -> bool:
    if value != value_2:
        return bool(value > value_2)
    if count != count_2:
        return bool(count > count_2)
    return bool(hashed < hashed_2)

"""What is the same whoever is asking: the items proposed to everyone, and how often anything happens at each moment."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8, U64
from models.compiled import compiled, compiled_part
from models.items.catalog import Catalog
from models.items.categories import NO_SHARES, CategoryShares, count_engagements, shares_of
from models.items.co_occurrence import moment_bins
from models.items.record import MOMENT_SMOOTHING, MOMENT_STARTS, MOMENTS
from models.items.rows import ENTRY_MS, TREND_MS, TREND_UNIT
from models.items.stats import ItemStatistics
from models.vocabulary import EXPERTS, NEWCOMER_CONTEXTS

PRIOR_CANDIDATES = 200
"""Items proposed to everyone by trend, and as many by popularity."""


NEW_CANDIDATES = 50
"""Items that nobody has engaged with, proposed to everyone: the ones that came last."""

CONTEXT_LEADERS: Final = 50
"""Items of a list that is made for an hour, a weekday, a place or device."""

SCENES: Final = MOMENTS - MOMENT_STARTS[2] - 1
"""Context buckets that say something: 1 to 7."""

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
    followed: int = _POPULARITY
    """Position in `EXPERTS` of the list that is made for contexts too."""
    bins: I8 = np.full(2, -1)
    """(2,) int64: of `MOMENTS`, the hour and weekday of `now_ms`."""
    in_context: NDArray[np.int32] = np.full((2 + SCENES, 1), -1, np.int32)
    """(2 + SCENES, c) int32: the items that lead by `followed` times how much more than usual each is engaged with then and
    there: in this hour, on this weekday, in each context bucket; best first, -1 pads. Empty where nobody told such a thing."""
    with_context: tuple[NDArray[np.int32], ...] = ()
    """`with_leaders` of `followed` with those that lead in each of `NEWCOMER_CONTEXTS`, whichever it is."""

    def proposed(self, cold_list: str, context: str = "") -> NDArray[np.int32]:
        """(c,) int32: proposed to all while newcomers get this list, for this context."""
        if context and self.with_context and EXPERTS[self.followed] == cold_list:
            return self.with_context[NEWCOMER_CONTEXTS.index(context)]
        return self.with_leaders[EXPERTS.index(cold_list)] if cold_list in EXPERTS else self.candidates


class _Leaders(NamedTuple):
    """The k items that lead each of L lists, best first; places from `n` on are empty."""

    value: F8
    """(L, k); likewise below."""
    count: F8  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    hashed: U64
    item: I8
    n: I8
    """(L,)."""


class _Contexts(NamedTuple):
    """Of which anything is known, (a,) each."""

    row: I8
    """Of `Priors.in_context`."""
    bin: I8
    """Of `MOMENTS`."""
    share: F8
    """Of all engagements of its group."""


class PriorsInTheMaking:
    """Priors of all items at `now_ms`, some items at a time: what leads is found in one pass that may be interrupted. Between
    two steps statistics and catalogue may change; what is made is then of either."""

    def __init__(
        self,
        catalog: Catalog,
        stats: ItemStatistics,
        candidates_each: int,
        new_items: int,
        now_ms: int,
        followed: int = _POPULARITY,
    ) -> None:
        """See `compute_priors`."""
        self._catalog, self._stats, self._now_ms = catalog, stats, now_ms
        self._versions = stats.version, catalog.version
        self._leaders = _leaders(len(EXPERTS), candidates_each)
        self.followed = followed
        self._shares = _moment_shares(stats)
        self._bins = moment_bins(np.array([now_ms]), np.zeros(1, np.uint8))[0, :2]
        scenes = np.arange(MOMENT_STARTS[2] + 1, MOMENTS)
        every = np.concatenate((self._bins, scenes))
        told = np.flatnonzero(self._shares[every] > 0.0)
        self._contexts = _Contexts(told, every[told], self._shares[every[told]])
        self._in_context = _leaders(len(every), min(CONTEXT_LEADERS, candidates_each))
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
            stats.trend_ms, stats.moments, self._now_ms, self.followed, self._contexts, self._leaders, self._in_context,
            self._newest, self._met,
        )  # fmt: skip
        count_engagements(begin, self._at, self._catalog.categories.of, stats.count, self._engagements, self._engaged)
        return None if self._at < self._end else self._made()

    def _made(self) -> Priors:
        items, used = self._leaders.item, self._leaders.n
        leading = [row[:n] for row, n in zip(items, used.tolist(), strict=True)]
        always = np.concatenate((leading[_TREND_WEEK], leading[_POPULARITY], self._newest[self._newest >= 0]))
        candidates = np.unique(always).astype(np.int32)
        with_leaders = tuple(np.union1d(candidates, row).astype(np.int32) for row in leading)
        categories = shares_of(self._engagements, self._engaged[0]) if len(self._engagements) else NO_SHARES
        in_context, plain = _filled(self._in_context), with_leaders[self.followed]
        with_context = tuple(
            np.union1d(plain, rows[rows >= 0]).astype(np.int32)
            for rows in (in_context[:1], in_context[1:2], in_context[2:])
        )
        return Priors(
            candidates, with_leaders, _filled(self._leaders), self._shares, *self._versions, self._now_ms,
            categories, self.followed, self._bins, in_context, with_context,
        )  # fmt: skip


def compute_priors(
    catalog: Catalog,
    stats: ItemStatistics,
    *,
    candidates_each: int,
    new_items: int = 0,
    now_ms: int,
    followed: int = _POPULARITY,
) -> Priors:
    """Priors of all items at `now_ms`.

    `candidates_each` items are proposed by trend and as many by popularity. Of equal ones the higher count comes
    first, then the lower hash, so without any statistics there still are candidates, the same on every worker. `new_items`
    more are those that nobody has engaged with and that were numbered last. The list of the `followed` one of `EXPERTS` is made
    for contexts too.
    """
    making = PriorsInTheMaking(catalog, stats, candidates_each, new_items, now_ms, followed)
    made = making.step(len(catalog.recommendable))
    assert made is not None, "all items were looked at"
    return made


def _leaders(lists: int, k: int) -> _Leaders:
    shape = lists, k
    return _Leaders(
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape, np.uint64),
        np.zeros(shape, np.int64),
        np.zeros(lists, np.int64),
    )


def _filled(leaders: _Leaders) -> NDArray[np.int32]:
    """(L, k): their items, -1 where there are none."""
    places = np.arange(leaders.item.shape[1])
    return np.where(places < leaders.n[:, None], leaders.item, -1).astype(np.int32)


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
    moments: I8,
    now_ms: int,
    followed: int,
    contexts: _Contexts,
    leaders: _Leaders,
    in_context: _Leaders,
    newest: I8,
    met: I8,
) -> None:
    """Let items `begin` to `end` take part; beyond the statistics nobody has engaged. `newest` is filled round and round."""
    # Arrays one by one: a tuple of arrays costs two atomic counts an array each time.
    led, counts, hashed, items, used = leaders.value, leaders.count, leaders.hashed, leaders.item, leaders.n
    c_led, c_counts, c_hashed = in_context.value, in_context.count, in_context.hashed
    c_items, c_used = in_context.item, in_context.n
    rows, bins, shares = contexts.row, contexts.bin, contexts.share
    last, c_last = led.shape[1] - 1, c_led.shape[1] - 1
    known, place, unit = len(count), met[0], 1.0 if followed == _POPULARITY else TREND_UNIT
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
        for a in range(len(rows)):
            # The order of the sum of the two features: log(1 + count / unit) + log(how much more than usual).
            r, value = rows[a], 1.0 + values[followed] / unit
            if n > 0.0:
                usual = MOMENT_SMOOTHING * shares[a]
                value *= (moments[j, bins[a]] + usual) / (n * shares[a] + usual)
            if c_used[r] <= c_last or (c_last >= 0 and value >= c_led[r, c_last]):
                _enter(
                    c_led[r], c_counts[r], c_hashed[r], c_items[r], c_used[r : r + 1], value, n, hashes[j], j
                )  # fmt: skip
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

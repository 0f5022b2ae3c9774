"""What is the same for whoever asks, at one moment: the impersonal part of every item's score, in single precision.

A candidate is chosen by it; what is then listed is computed anew, exactly (`models.ranking.choosing`). So it may be a moment
old: `MAX_AGE_MS` of event time, or more for a large catalogue, since making it costs about 0.2 us an item. Event time stands
still where no events come, while what they said about items still does: so it is also made anew for other statistics, as often
as `Priors` are. Items that come meanwhile are added. Where there is none, candidates are computed exactly, which costs more and
lists the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I8
from models.compiled import compiled
from models.items.growing import zeros_when_used
from models.items.record import MOMENT_STARTS
from models.ranking.candidates import GatherScratch
from models.ranking.features import CONTEXT, FEATURES, ItemArrays, fill_impersonal, moment_feature
from models.ranking.weights import RankingWeights, weight_classes

MAX_AGE_MS: Final = 1000
SLICE_ITEMS: Final = 20_000
"""Items that are looked at in one call: some 5 ms."""

ITEMS_PER_MS: Final = 100
"""A catalogue of so many items more may be so much older: making the table then takes a fiftieth of the time."""

LEAST_ROOM: Final = 1024
"""For items that come after it was made; a quarter of a large catalogue."""

SCENES: Final = 7
"""Context buckets 1 to 7; 0 says nothing."""


class ItemMoment(NamedTuple):
    """Of n items at `moment_ms`, with room for others."""

    moment_ms: int
    good_for_ms: int
    """How much later a question may be."""
    bins: I8
    """(2,) int64: hour and weekday, as `Question.bins`."""
    base: F4
    """(C, n or more) float32: weighted sum of the impersonal features but the scene's, by class of user weights."""
    scene: F4
    """(`SCENES` + 1, n or more) float32: feature `scene` of each item in each bucket."""


class Moments:
    """Keeps the last one. One of more than `SLICE_ITEMS` is made that many items at a call, the next one while the last still
    holds: made at once, a million items would keep everyone waiting for a quarter of a second."""

    def __init__(self) -> None:
        self.scratch = GatherScratch()
        """For candidates, kept likewise."""
        self._last: _Making | None = None
        self._next: _Making | None = None

    def at(
        self,
        items: ItemArrays,
        moment_shares: F8,
        weights: RankingWeights,
        now_ms: int,
        bins: I8,
        statistics_version: int = 0,
    ) -> ItemMoment | None:
        """Of this moment, or of one a little earlier; None while the first one, or that of another hour, is being made.

        Args:
            items: as `items_of` gives them; those of the last call, and others behind them.
            moment_shares: `Priors.moment_shares`.
            weights: of the ranking.
            now_ms: event time.
            bins: (2,) hour and weekday of `now_ms`.
            statistics_version: `Priors.stats_version`.
        """
        of, n = (
            (weights.version, weights.cold_expert, weights.cold_context, weights.added, *bins.tolist()),
            len(items.count),
        )
        last = self._last if self._last is not None and self._last.holds(of, n, now_ms) else None
        if last is not None:
            last.step(items, moment_shares)
            if not last.is_old(now_ms, statistics_version):
                return last.answer(n)
        making = self._next
        if making is None or not making.holds(of, n, now_ms):
            made = _empty(n, weights, now_ms, bins)
            making = self._next = _Making(made, of, weight_classes(weights), statistics_version)
        making.step(items, moment_shares)
        if making.has(n):
            last, self._last, self._next = making, making, None
        return None if last is None else last.answer(n)


class _Making:
    """A moment of which some items have been looked at."""

    def __init__(self, moment: ItemMoment, of: tuple[object, ...], classes: F8, statistics_version: int = 0) -> None:
        self._moment, self._of, self._classes = moment, of, classes
        self._wanted = np.any(classes != 0.0, axis=0)
        self._statistics_version = statistics_version
        self._at = self._answers = 0

    def has(self, n: int) -> bool:
        """So many items have been looked at."""
        return self._at == n

    def answer(self, n: int) -> ItemMoment | None:
        """What it says of so many items; None while there are some that it has not looked at."""
        self._answers += 1
        return self._moment if self.has(n) else None

    def holds(self, of: tuple[object, ...], n: int, now_ms: int) -> bool:
        """Whether it says something of this time and of these weights and bins, and has room for so many items."""
        moment = self._moment
        is_now = 0 <= now_ms - moment.moment_ms <= moment.good_for_ms
        return self._of == of and is_now and self._at <= n <= moment.base.shape[1]

    def is_old(self, now_ms: int, statistics_version: int) -> bool:
        """Whether the next one should be begun, since it takes some calls: half of all at most for other statistics."""
        moment, calls = self._moment, self._at // SLICE_ITEMS
        is_of_others = statistics_version != self._statistics_version and self._answers >= calls
        return is_of_others or (calls > 0 and now_ms - moment.moment_ms > moment.good_for_ms // 2)

    def step(self, items: ItemArrays, moment_shares: F8) -> None:
        """Look at some more."""
        moment, begin = self._moment, self._at
        self._at = min(begin + SLICE_ITEMS, len(items.count))
        if 0 < begin == self._at:  # where nothing is known the loop is run for nothing: a warm-up compiles it
            return
        _fill(
            items,
            moment_shares,
            self._classes,
            self._wanted,
            moment.moment_ms,
            moment.bins,
            begin,
            self._at,
            moment.base,
            moment.scene,
        )


def item_moment(items: ItemArrays, moment_shares: F8, weights: RankingWeights, now_ms: int, bins: I8) -> ItemMoment:
    """Of exactly this moment; arguments as of `Moments.at`."""
    n = len(items.count)
    moment = _empty(n, weights, now_ms, bins)
    making = _Making(moment, (), weight_classes(weights))
    while not making.has(n):
        making.step(items, moment_shares)
    return moment


def _empty(n: int, weights: RankingWeights, now_ms: int, bins: I8) -> ItemMoment:
    good_for_ms, room = max(MAX_AGE_MS, n // ITEMS_PER_MS), n + max(n // 4, LEAST_ROOM)
    base = zeros_when_used(np.float32, len(weight_classes(weights)), room)
    return ItemMoment(now_ms, good_for_ms, bins, base, zeros_when_used(np.float32, SCENES + 1, room))


@compiled
def _fill(
    items: ItemArrays,
    moment_shares: F8,
    classes: F8,
    wanted: NDArray[np.bool_],
    now_ms: int,
    bins: I8,
    begin: int,
    end: int,
    base: F4,
    scene: F4,
) -> None:
    x = np.zeros(len(FEATURES))
    without_scene = np.array([bins[0], bins[1], -1])
    count, moments, trend, entry = items.count, items.moments, items.trend, items.entry
    trend_ms, first_seen_ms = items.trend_ms, items.first_seen_ms
    for j in range(begin, end):
        fill_impersonal(
            x, count[j], moments[j], trend[j], entry[j], trend_ms[j], first_seen_ms[j], now_ms, without_scene,
            moment_shares, wanted,
        )  # fmt: skip
        for c in range(len(classes)):
            total = 0.0
            for f in range(CONTEXT, len(x)):
                total += classes[c, f] * x[f]
            base[c, j] = total
        for s in range(1, SCENES + 1):
            b = MOMENT_STARTS[2] + s
            scene[s, j] = moment_feature(moments[j, b], count[j], b, moment_shares)

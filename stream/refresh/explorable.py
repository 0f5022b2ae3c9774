"""Items of which little is known, or that came last: what may be explored, and which of them are proposed to everybody."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.calendar import HOUR_MS
from models.page.explore import ExploreParams
from models.page.ranked import bonus_of_unknown, evidence_of
from stream.metrics import Metrics
from stream.refresh.knowledge import Knowledge

PROPOSED: Final = 32
"""Little known items that are proposed to everyone: those of which least is known."""

MAX_AGE_MS: Final = 1_000
"""How old the choice of those may be; longer where there are many items, as for `Knowledge.priors`."""

WAYS_MAX: Final = 32
"""To explore, kept at once: of arms and placements."""

_MIX: Final = 0x9E3779B97F4A7C15


class Unknown(NamedTuple):
    """As `models.page.ranked.PageItems` has them."""

    bonus: F4
    """(n,) what being little known is worth; below 0 of an item that may not be explored."""
    proposed: I4
    """At most `PROPOSED` dense indices."""


class Explorable:
    """Looked for once a second or so, for each way to explore."""

    def __init__(self, knowledge: Knowledge, metrics: Metrics) -> None:
        self._knowledge, self._metrics = knowledge, metrics
        self._found: dict[ExploreParams, tuple[int, Unknown]] = {}
        self.counted: ExploreParams | None = None
        """Whose items the metrics count: what `home` is for who is in no arm; None: the first that explores."""
        self._little_known: NDArray[np.bool_] = np.zeros(0, np.bool_)

    def of(self, explore: ExploreParams, now_ms: int) -> Unknown:
        """Of now, or of a moment ago."""
        knowledge = self._knowledge
        kept = self._found.get(explore)
        if kept is not None and now_ms - kept[0] < max(MAX_AGE_MS, len(knowledge.index) // 50):
            return kept[1]
        recommendable, stats = knowledge.catalog.recommendable, knowledge.stats
        moment_ms = knowledge.stream_time_ms(now_ms)
        published_ms = knowledge.published_ms[: len(recommendable)]
        bonus = bonus_of_unknown(explore, stats, published_ms, recommendable, moment_ms)
        may = np.flatnonzero(bonus >= 0.0)
        proposed = least_known(may, stats.exposures, stats.count, knowledge.index.hashes, moment_ms // HOUR_MS)
        self._count(explore, bonus)
        if len(self._found) >= WAYS_MAX:  # while workers run placements change
            self._found.clear()
        self._found[explore] = now_ms, Unknown(bonus, proposed)
        return self._found[explore][1]

    def _count(self, explore: ExploreParams, bonus: F4) -> None:
        """For the metrics: what may be explored, and what has become known since."""
        self.counted = self.counted or explore
        if explore != self.counted:
            return
        little_known = evidence_of(self._knowledge.stats, len(bonus)) < explore.max_exposures
        graduated = self._little_known & ~little_known[: len(self._little_known)]
        self._little_known = little_known
        self._metrics.work.graduated.inc(int(np.count_nonzero(graduated)))
        self._metrics.work.explorable.set(int(np.count_nonzero(bonus >= 0.0)))


def least_known(items: I8, exposures: I8, count: NDArray[np.float64], hashes: NDArray[np.uint64], hour: int) -> I4:
    """At most `PROPOSED` of these items: those with the least evidence; of equal ones others every hour, since without
    impressions evidence never comes."""
    evidence = np.zeros(len(items))
    known = items < len(count)
    evidence[known] = np.maximum(exposures[items[known]], count[items[known]])
    if len(items) > PROPOSED:
        least = np.partition(evidence, PROPOSED - 1)[PROPOSED - 1]
        kept = evidence <= least
        items, evidence = items[kept], evidence[kept]
    turn = (hashes[items] ^ np.uint64(hour * _MIX % 2**64)) * np.uint64(_MIX)
    order = np.lexsort((turn, evidence))[:PROPOSED]
    return items[order].astype(np.int32)

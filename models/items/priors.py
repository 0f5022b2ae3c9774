"""What is the same whoever is asking: the items proposed to everyone, and how often anything happens at each moment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import Catalog
from models.items.record import MOMENT_STARTS, MOMENTS
from models.items.rows import TREND_MS
from models.items.stats import ItemStatistics

PRIOR_CANDIDATES = 200
"""Items proposed to everyone by trend, and as many by popularity."""


NEW_CANDIDATES = 50
"""Items that nobody has engaged with, proposed to everyone: the ones that came last."""


_TREND = 1  # the 7-day one of TREND_DAYS


class Priors(NamedTuple):
    """Computed once per version of statistics and catalogue and per second or so; a little out of date is harmless."""

    candidates: NDArray[np.int32]
    """(c,) int32 ascending, distinct: the recommendable items that lead by trend or popularity or are new, proposed to all."""
    moment_shares: NDArray[np.float64]
    """(MOMENTS,) float64: share of each bin in its group, over all engagements; 0 where there are none."""
    stats_version: int
    catalog_version: int
    now_ms: int


def compute_priors(
    catalog: Catalog, stats: ItemStatistics, *, candidates_each: int, new_items: int = 0, now_ms: int
) -> Priors:
    """Priors of all items at `now_ms`.

    `candidates_each` items are proposed by trend and as many by popularity. Of equal ones the higher count comes
    first, then the lower hash, so without any statistics there still are candidates, the same on every worker. `new_items`
    more are those that nobody has engaged with and that were numbered last.
    """
    size = max(stats.size, catalog.recommendable.size)
    allowed = np.flatnonzero(catalog.is_recommendable(np.arange(size)))
    count, trend = np.zeros(size), np.zeros(size)
    count[: stats.size] = stats.count
    age_ms = np.maximum(now_ms - stats.trend_ms, 0)
    trend[: stats.size] = stats.trend[:, _TREND] * np.exp(-age_ms / TREND_MS[_TREND])
    count, hashes = count[allowed], catalog.index.hash_of(allowed)
    leading = [_leading(values, count, hashes, candidates_each) for values in (trend[allowed], count)]
    untouched = np.flatnonzero(count == 0)
    leading.append(untouched[max(0, untouched.size - new_items) :] if new_items else untouched[:0])
    candidates = allowed[np.unique(np.concatenate(leading))].astype(np.int32)
    return Priors(candidates, _moment_shares(stats), stats.version, catalog.version, now_ms)


def _moment_shares(stats: ItemStatistics) -> NDArray[np.float64]:
    counted: NDArray[np.float64] = stats.moments.sum(axis=0).astype(np.float64)
    for begin, end in zip(MOMENT_STARTS, (*MOMENT_STARTS[1:], MOMENTS), strict=True):
        total = counted[begin:end].sum()
        counted[begin:end] /= max(total, 1.0)
    return counted


def _leading(
    values: NDArray[np.float64], count: NDArray[np.float64], hashes: NDArray[np.uint64], limit: int
) -> NDArray[np.int64]:
    """Positions of the `limit` largest, ties as in `compute_priors`, without sorting everything."""
    chosen = np.arange(values.size)
    if 0 < limit < values.size:
        chosen = np.flatnonzero(values >= np.partition(values, values.size - limit)[values.size - limit])
    return chosen[np.lexsort((hashes[chosen], -count[chosen], -values[chosen]))][:limit]

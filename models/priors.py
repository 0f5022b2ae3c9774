"""What speaks for an item whoever is asking: its trend and its popularity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalog import Catalog
from models.item_rows import TREND_MS
from models.item_stats import ItemStatistics

_TREND = 1  # the 7-day one of TREND_DAYS


class Priors(NamedTuple):
    """Computed once per version of statistics and catalogue and per minute or so; a little out of date is harmless."""

    trend: NDArray[np.float64]
    """(n,) float64 in [0, 1] by dense index: log(1 + engagements decayed with 7 days), 1 = the most of any item."""
    popularity: NDArray[np.float64]
    """(n,) float64 in [0, 1]: the same of all engagements ever."""
    candidates: NDArray[np.int32]
    """(c,) int32 ascending, distinct: the recommendable items that lead by either, proposed to every user."""
    stats_version: int
    catalog_version: int
    now_ms: int


def compute_priors(catalog: Catalog, stats: ItemStatistics, *, candidates_each: int, now_ms: int) -> Priors:
    """Priors of all items at `now_ms`; items that cannot be recommended get 0.

    `candidates_each` items are proposed by trend and as many by popularity. Of equal ones the higher count comes
    first, then the lower hash, so without any statistics there still are candidates, the same on every worker.
    """
    size = max(stats.size, catalog.recommendable.size)
    recommendable = catalog.is_recommendable(np.arange(size))
    count, trend = np.zeros(size), np.zeros(size)
    count[: stats.size] = stats.count
    age_ms = np.maximum(now_ms - stats.trend_ms, 0)
    trend[: stats.size] = stats.trend[:, _TREND] * np.exp(-age_ms / TREND_MS[_TREND])
    trend, popularity = _to_unit(trend, recommendable), _to_unit(count, recommendable)

    allowed = np.flatnonzero(recommendable)
    count, hashes = count[allowed], catalog.index.hash_of(allowed)
    leading = [_leading(values[allowed], count, hashes, candidates_each) for values in (trend, popularity)]
    candidates = allowed[np.unique(np.concatenate(leading))].astype(np.int32)
    return Priors(trend, popularity, candidates, stats.version, catalog.version, now_ms)


def _to_unit(values: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    logs = np.where(allowed, np.log1p(values), 0.0)
    largest = logs.max(initial=0.0)
    return logs / largest if largest > 0 else logs


def _leading(
    values: NDArray[np.float64], count: NDArray[np.float64], hashes: NDArray[np.uint64], limit: int
) -> NDArray[np.int64]:
    """Positions of the `limit` largest, ties as in `compute_priors`, without sorting everything."""
    chosen = np.arange(values.size)
    if 0 < limit < values.size:
        chosen = np.flatnonzero(values >= np.partition(values, values.size - limit)[values.size - limit])
    return chosen[np.lexsort((hashes[chosen], -count[chosen], -values[chosen]))][:limit]

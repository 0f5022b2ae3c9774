"""From noised sums to item records, as everything that ranks reads them. All of it is computed from what may be shown, so it
costs no privacy, and what is not known privately stays empty: who came first of all (`entry`), hours, weekdays and
places (`moments`), exposures and clicks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, U64
from models.items.record import ENTRY_DAYS, MOMENTS, NEVER_MS, TREND_DAYS, RecordColumns
from models.items.rows import TREND_MS
from models.privacy.contribution import PublicPairs
from models.privacy.release import Series

ITEMS_TIMES: Final = 1.0
"""Standard deviations of noise that are taken off a count."""

PAIRS_TIMES: Final = 2.0
"""The same of a pair."""


def records(
    items: Series, pairs: Series, of_pairs: PublicPairs, hashes: U64, ends_ms: NDArray[np.int64], begin_ms: int
) -> RecordColumns:
    """Records of all n items as of the newest release.

    Args:
        items, pairs: what was released so far.
        of_pairs: which pairs they are of.
        hashes: (n,) of the items, in the order of their numbers.
        ends_ms: (t,) when each release's period ended.
        begin_ms: when the first one's began.
    """
    n, now_ms = len(hashes), int(ends_ms[-1])
    count = np.rint(items.total().above_noise(ITEMS_TIMES)).astype(np.int64)
    middle_ms = (np.append(begin_ms, ends_ms[:-1]) + ends_ms) / 2.0
    faded = [items.weighted(np.exp((middle_ms - now_ms) / each)).above_noise(ITEMS_TIMES) for each in TREND_MS]
    start, neighbours, weights = _neighbours(pairs.total().above_noise(PAIRS_TIMES), of_pairs, hashes)
    return RecordColumns(
        count=count,
        first_seen_ms=np.where(count > 0, now_ms, NEVER_MS),
        trend_ms=np.full(n, now_ms, np.int64),
        trend=np.where(count[:, None] > 0, np.stack(faded, axis=1), 0.0).reshape(n, len(TREND_DAYS)),
        entry=np.zeros((n, len(ENTRY_DAYS))),
        exposures=np.zeros(n, np.int64),
        clicks=np.zeros(n, np.int64),
        moments=np.zeros((n, MOMENTS), np.int64),
        neighbour_start=start,
        neighbours=neighbours,
        neighbour_weights=weights,
        neighbour_forwards=weights / 2.0,  # the direction is not counted: each is as likely
        fence_start=np.zeros(n + 1, np.int64),
        fence_partition=np.zeros(0, np.int64),
        fence_offset=np.zeros(0, np.int64),
    )


def _neighbours(weights: F8, pairs: PublicPairs, hashes: U64) -> tuple[NDArray[np.int64], U64, F8]:
    """Compressed rows of both directions, neighbours by hash ascending."""
    some = weights > 0.0
    item = np.concatenate((pairs.first[some], pairs.second[some]))
    other = hashes[np.concatenate((pairs.second[some], pairs.first[some]))]
    weight = np.tile(weights[some], 2)
    order = np.lexsort((other, item))
    start = np.searchsorted(item[order], np.arange(len(hashes) + 1))
    return start.astype(np.int64), other[order], weight[order]

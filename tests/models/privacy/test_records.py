"""Released sums become records that everything that ranks can read; what was not released is empty."""

from __future__ import annotations

import numpy as np

from models.items.index import ItemIndex
from models.items.record import NEVER_MS, TREND_DAYS, pack_records, unpack_records
from models.items.stats import ItemStatistics
from models.privacy.continual import factor
from models.privacy.contribution import PublicPairs
from models.privacy.records import records
from models.privacy.release import Series

DAY_MS = 86_400_000
HASHES = np.array([30, 10, 20], np.uint64)
PAIRS = PublicPairs(np.array([0, 0]), np.array([1, 2]))


def released():
    items, pairs = Series(3, factor(2), 0.0), Series(2, factor(2), 0.0)
    items.release(np.array([4, 0, 0]))
    pairs.release(np.array([3, 0]))
    items.release(np.array([1, 2, 0]))
    pairs.release(np.array([1, 0]))
    return records(items, pairs, PAIRS, HASHES, np.array([10, 20]) * DAY_MS, 0)


def test_counts_and_pairs_of_both_directions_are_told():
    found = released()
    assert found.count.tolist() == [5, 2, 0]
    assert found.neighbour_start.tolist() == [0, 1, 2, 2]
    assert found.neighbours.tolist() == [10, 30]
    assert np.allclose(found.neighbour_weights, 4.0)
    assert np.allclose(found.neighbour_forwards, 2.0)


def test_what_is_older_fades_as_of_the_newest_release():
    found = released()
    year = TREND_DAYS.index(365.0)
    assert np.allclose(found.trend[0, year], 4 * np.exp(-15 / 365) + np.exp(-5 / 365))
    assert found.trend_ms.tolist() == [20 * DAY_MS] * 3


def test_what_was_not_released_is_empty():
    found = released()
    assert not found.moments.any()
    assert not found.entry.any()
    assert not found.exposures.any()
    assert not found.clicks.any()
    assert found.first_seen_ms[2] == NEVER_MS
    assert not found.trend[2].any()


def test_they_are_records_as_any_others():
    found = released()
    again = unpack_records(pack_records(found))
    assert again.count.tolist() == found.count.tolist()
    index = ItemIndex()
    stats = ItemStatistics(index, 4)
    stats.put_columns(index.intern(HASHES), found)
    assert stats.count.tolist() == [5, 2, 0]

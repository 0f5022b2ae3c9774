"""One event with a wrong clock owns nothing: no age, no trend, no moment at which all impressions are over."""

from __future__ import annotations

import numpy as np
import pytest
from kafka_records import NOW_MS, event_record
from tracker_harness import opened

from models.hashing import item_hash
from stream.partitions.event_times import LATE_MAX_MS, EventTimes
from stream.worker.tracker import Tracker

HOUR_MS, YEAR_MS = 3_600_000, 365 * 86_400_000


def told(times, time_ms, timestamp_ms=None, now_ms=NOW_MS):
    time_ms = np.array(time_ms)
    return times.told(time_ms, np.full(len(time_ms), now_ms if timestamp_ms is None else timestamp_ms), now_ms).tolist()


def test_nothing_happened_after_its_record_was_written_or_after_now():
    times = EventTimes()
    assert told(times, [NOW_MS + 23 * HOUR_MS, NOW_MS - 5]) == [NOW_MS, NOW_MS - 5]
    assert told(times, [NOW_MS], timestamp_ms=NOW_MS - 100) == [NOW_MS - 100]
    assert told(times, [NOW_MS], timestamp_ms=NOW_MS + 73 * YEAR_MS) == [NOW_MS]
    assert told(times, [NOW_MS + 7], timestamp_ms=-1) == [NOW_MS]


def test_an_event_of_long_ago_counts_as_a_month_old():
    times = EventTimes()
    told(times, [NOW_MS] * 30)
    assert told(times, [NOW_MS - 26 * YEAR_MS, NOW_MS]) == [NOW_MS - LATE_MAX_MS, NOW_MS]


def test_a_long_past_that_is_replayed_is_told_as_it_was():
    times = EventTimes()
    past = [NOW_MS - YEAR_MS + n * HOUR_MS for n in range(2000)]
    assert [each for at in range(0, 2000, 7) for each in told(times, past[at : at + 7])] == past


def test_the_first_events_of_a_partition_are_believed():
    assert told(EventTimes(), [1_000_000, NOW_MS]) == [1_000_000, NOW_MS]


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue("cup", "hat")
        yield harness


def happened(shop, *events, now_ms=NOW_MS):
    """`(user, action, item, event time, Kafka timestamp)` each, read at `now_ms`."""
    tracker: Tracker = shop.tracker
    start = shop.next_offset
    records = [
        event_record(start + n, user, timestamp=timestamp, action=action, item_id=item, event_time=time_ms)
        for n, (user, action, item, time_ms, timestamp) in enumerate(events)
    ]
    intake = tracker.read(shop.users, records, now_ms)
    if intake.keys:
        tracker.apply(shop.users, intake, 0.0, now_ms)
    shop.users.next_offset = shop.next_offset = start + len(records)
    return intake


def statistics_of(shop, item):
    shop.share_statistics()
    known = shop.tracker.knowledge
    at = int(known.index.lookup(np.array([item_hash(item)], np.uint64))[0])
    return int(known.stats.first_seen_ms[at]), int(known.stats.trend_ms[at])


def test_a_timestamp_of_2099_is_refused_where_it_is_the_events_time_and_else_believed_by_nobody(shop):
    far = NOW_MS + 73 * YEAR_MS
    intake = happened(shop, ("ann", "click", "cup", None, far), ("bob", "click", "cup", NOW_MS, far))
    assert [letter.why.reason for letter in intake.refused] == ["time_out_of_bounds"]
    assert intake.keys == [b"bob"]
    assert statistics_of(shop, "cup") == (NOW_MS, NOW_MS)
    assert shop.tracker.knowledge.newest_ms == NOW_MS


def test_an_event_of_2000_makes_no_item_old(shop):
    happened(shop, *[(f"u{n}", "click", "hat", NOW_MS, NOW_MS) for n in range(30)])
    happened(shop, ("old", "click", "cup", 946_684_800_000, NOW_MS), ("ann", "click", "cup", NOW_MS, NOW_MS))
    first_ms, trend_ms = statistics_of(shop, "cup")
    assert first_ms == NOW_MS - LATE_MAX_MS
    assert trend_ms == NOW_MS


def test_an_event_a_day_ahead_closes_nobodys_impression(shop):
    happened(shop, ("ann", "click", "cup", NOW_MS + 23 * HOUR_MS, NOW_MS))
    assert shop.tracker.knowledge.newest_ms == NOW_MS
    assert statistics_of(shop, "cup")[1] == NOW_MS

"""One user may say so much of items in a day, and no more."""

from __future__ import annotations

from collections import Counter
from itertools import count

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka_records import NOW_MS
from tracker_harness import opened, replicated

from models.calendar import DAY_MS
from models.hashing import item_hash
from stream.partitions.influence import Influence

users = st.sampled_from([b"a", b"b", b"c"])


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(users, max_size=30), max_size=8), st.integers(1, 12))
def test_the_first_ones_of_each_count_however_they_are_cut(chunks, most):
    influence, seen = Influence(most), Counter()
    for chunk in chunks:
        counted = influence.counted(chunk, np.full(len(chunk), NOW_MS)).tolist()
        for user, is_counted in zip(chunk, counted, strict=True):
            assert is_counted == (seen[user] < most)
            seen[user] += 1


def test_a_new_day_begins_anew_and_an_old_one_does_not_come_back():
    influence = Influence(2)
    day = lambda n: np.full(3, NOW_MS + n * DAY_MS)  # noqa: E731
    assert influence.counted([b"a"] * 3, day(0)).tolist() == [True, True, False]
    assert influence.counted([b"a"] * 3, day(1)).tolist() == [True, True, False]
    assert influence.counted([b"a"] * 3, day(0)).tolist() == [False, False, False]


def test_without_a_bound_all_count():
    assert Influence(0).counted([b"a"] * 5000, np.full(5000, NOW_MS)).all()


def count_of(harness, item):
    known = harness.tracker.knowledge
    at = int(known.index.lookup(np.array([item_hash(item)], np.uint64))[0])
    return float(known.stats.count[at]) if 0 <= at < len(known.stats.count) else 0.0


def test_a_bot_that_goes_round_65_items_is_new_to_them_a_bounded_number_of_times(tmp_path):
    with opened(tmp_path, engagements_max_per_user_day=130) as harness:
        ids = [f"i{n}" for n in range(65)]
        harness.catalogue(*ids)
        harness.users.influence = Influence(130)
        for _ in range(10):
            harness.events(*[("bot", "click", item) for item in ids])
        harness.events(("ann", "click", "i0"))
        harness.share_statistics()
        assert count_of(harness, "i0") == 3.0  # twice the bot's, and ann's
        assert harness.count("engagements_uncounted") == 520


people = count()


def shared(harness, *items):
    """New people engage with them, and a commit shares what that says of them."""
    harness.events(*[(f"u{next(people)}", "click", item) for item in items])
    taken = harness.tracker.take(harness.users)
    harness.items.apply([type("R", (), {"key": k, "value": v}) for k, v in taken.deltas])
    stored = harness.items.take().stored
    harness.tracker.replicate_stats([replicated(k, v) for k, v in zip(*stored, strict=True)], 0.0)


def test_statistics_of_items_that_no_catalogue_knows_are_kept_up_to_a_bound(tmp_path):
    with opened(tmp_path, unknown_items_max=3) as harness:
        harness.catalogue("cup")

        shared(harness, "junk1", "junk2", "cup")
        shared(harness, "junk3", "junk4", "junk5", "cup")
        shared(harness, "junk1", "junk6")
        assert [count_of(harness, item) for item in ("junk1", "junk2", "cup")] == [2.0, 1.0, 2.0]
        assert sum(count_of(harness, f"junk{n}") > 0 for n in (3, 4, 5, 6)) == 1
        assert harness.count("items_uncounted") == 3
        assert harness.metrics.registry.get_sample_value("penchant_unknown_item_statistics") == 3
        harness.catalogue("junk1")  # it is known now, and makes room
        shared(harness, "junk7")
        assert count_of(harness, "junk7") == 1.0


def test_at_the_bound_of_memory_items_that_no_catalogue_knows_get_no_statistics_and_others_go_on(tmp_path):
    with opened(tmp_path, statistics_max_bytes=1000) as harness:
        harness.catalogue("cup", "pan")
        shared(harness, "cup")
        shared(harness, "cup", "pan", "pot")
        assert [count_of(harness, item) for item in ("cup", "pan", "pot")] == [2.0, 1.0, 0.0]
        assert harness.count("items_uncounted") == 1

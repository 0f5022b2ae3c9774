"""models/items/record.py, models/items/stats.py and models/items/co_occurrence.py"""

from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import (
    NO_ENTRY,
    NO_MOMENTS,
    ItemDelta,
    ItemRecord,
    pack_delta,
    pack_record,
    sealed,
    unpack_delta,
    unpack_record,
)
from places import GOLDEN

from models.items.co_occurrence import batch_deltas, moment_bins, pair_increments
from models.items.index import ItemIndex
from models.items.record import ENTRY_DAYS, NEVER_MS, TREND_DAYS, newest_ms, pack_deltas
from models.items.rows import DAY_MS, ItemRows, _bar_of_few, smallest
from models.items.stats import NO_NEIGHBOURS, ItemStatistics

NOW = 1_700_000_000_000

RECORD = ItemRecord(
    count=3, first_seen_ms=NOW - DAY_MS, trend_ms=NOW, trend=(0.5, 0.75, 1.25, 2.5, 2.875, 2.9375), entry=(0.5, 1.5, 1.75),
    exposures=40, clicks=2, neighbours={2**64 - 1: 0.81, 7: 1.0}, fences={3: 1_000_000, 0: 41}, forwards={7: 0.6},
    moments=tuple(range(23)),
)  # fmt: skip
DELTA = ItemDelta(
    source_partition=3, source_offset=1_000_001, count=2, first_seen_ms=NOW - 5, trend_ms=NOW + 5,
    trend=(1.0, 1.25, 1.5, 1.75, 2.0, 2.0), entry=(0.25, 0.5, 1.0), exposures=1, clicks=1,
    neighbours={7: 0.9, 5: 1.0}, forwards={5: 1.0, 7: 0.36},
    moments=(0, 2, *[0] * 6, 2, *[0] * 6, 1, 1, *[0] * 6),
)  # fmt: skip

weights = st.floats(0.001, 100)
neighbours = st.dictionaries(st.integers(1, 2**64 - 1), weights, max_size=8)
few_neighbours = st.dictionaries(st.integers(1, 6), weights, max_size=4)
trends = st.tuples(*[weights] * 6)
entries = st.tuples(weights, weights, weights)
moments = st.lists(st.integers(0, 9), min_size=23, max_size=23).map(tuple)


def with_forwards(made):
    """The same with forward weights for about half of the neighbours."""
    return replace(made, forwards={each: weight / 2 for each, weight in made.neighbours.items() if each % 2})


times = st.integers(NOW - 200 * DAY_MS, NOW)
records = st.builds(
    ItemRecord, st.integers(0, 2**40), times | st.just(NEVER_MS), times, trends, entries, st.integers(0, 99),
    st.integers(0, 99), neighbours, st.dictionaries(st.integers(0, 2**16 - 1), st.integers(0, 2**62), max_size=4),
    moments=moments,
).map(with_forwards)  # fmt: skip
deltas = st.builds(
    ItemDelta, st.integers(0, 3), st.integers(0, 2**62), st.integers(0, 9), times, times, trends, entries, st.integers(0, 9),
    st.integers(0, 9), neighbours, moments=moments,
).map(with_forwards)  # fmt: skip


def apply_deltas(given_records, given_deltas, limit):
    """The records after their deltas: `given_deltas[i]` belong to `given_records[i]`."""
    rows = ItemRows(limit)
    at = rows.add([pack_record(record) for record in given_records])
    owner = [row for row, batch in zip(at, given_deltas, strict=True) for _ in batch]
    rows.apply(np.array(owner, np.int64), [pack_delta(delta) for batch in given_deltas for delta in batch])
    return [unpack_record(value) for value in rows.pack(at)]


def put(stats, rows, given_records):
    """What `ItemStatistics.put` does with records of these rows."""
    stats.put(rows, [pack_record(record) for record in given_records])


def heaviest(given_neighbours, limit):
    """What is left of neighbours after a delta that adds nothing."""
    (record,) = apply_deltas([ItemRecord(neighbours=given_neighbours)], [[ItemDelta(0, 1)]], limit)
    return record.neighbours


# --- bytes


def test_the_bytes_of_a_record_are_those_of_the_golden_file():
    golden = bytes.fromhex((GOLDEN / "item_record_v3.hex").read_text())
    assert pack_record(RECORD) == golden
    assert unpack_record(golden) == RECORD


def test_the_bytes_of_a_delta_are_those_of_the_golden_file():
    golden = bytes.fromhex((GOLDEN / "item_delta_v3.hex").read_text())
    assert pack_delta(DELTA) == golden
    assert unpack_delta(golden) == DELTA


@pytest.mark.parametrize("version", [1, 2])
def test_bytes_of_earlier_versions_are_read_without_what_they_lack(version):
    lacking = {"entry": NO_ENTRY} | ({"forwards": {}, "moments": NO_MOMENTS} if version == 1 else {})
    record = bytes.fromhex((GOLDEN / f"item_record_v{version}.hex").read_text())
    assert unpack_record(record) == replace(RECORD, trend=(0.0, 0.0, 1.25, 2.5, 2.875, 0.0), **lacking)
    delta = bytes.fromhex((GOLDEN / f"item_delta_v{version}.hex").read_text())
    assert unpack_delta(delta) == replace(DELTA, trend=(0.0, 0.0, 1.5, 1.75, 2.0, 0.0), **lacking)
    for value, unpack in ((record, unpack_record), (delta, unpack_delta)):
        for wrong in [value[:n] for n in range(len(value))] + [value + b"\0"]:
            with pytest.raises(ValueError, match=r"^item (record|delta): "):
                unpack(wrong)


@given(records)
def test_a_record_survives_its_bytes_and_equal_records_have_equal_bytes(record):
    read = unpack_record(pack_record(record))
    assert read == record
    assert pack_record(read) == pack_record(record)


@given(deltas)
def test_a_delta_survives_its_bytes(delta):
    assert unpack_delta(pack_delta(delta)) == delta


@pytest.mark.parametrize(("value", "unpack"), [(pack_record(RECORD), unpack_record), (pack_delta(DELTA), unpack_delta)])
def test_bytes_that_are_cut_longer_changed_or_of_another_version_are_refused(value, unpack):
    wrong = [value[:n] for n in range(len(value))] + [value + b"\0", bytes([4]) + value[1:]]
    wrong += [value[:n] + bytes([value[n] ^ 0x10]) + value[n + 1 :] for n in range(len(value))]
    for each in wrong:
        with pytest.raises(ValueError, match=r"^item (record|delta): "):
            unpack(each)


def test_a_sealed_value_whose_counts_do_not_fit_its_length_is_refused():
    value = pack_delta(ItemDelta(0, 0))
    with pytest.raises(ValueError, match="counts ask for"):
        unpack_delta(sealed(value[:-8] + b"\1\0\0\0"))


# --- deltas into records


def test_a_delta_adds_to_every_statistic():
    (record,) = apply_deltas([RECORD], [[DELTA]], 10)
    assert (record.count, record.exposures, record.clicks) == (5, 41, 3)
    assert (record.first_seen_ms, record.trend_ms) == (NOW - DAY_MS, NOW + 5)
    for name, constants in (("trend", TREND_DAYS), ("entry", ENTRY_DAYS)):
        fading = [exp(-5 / (days * DAY_MS)) for days in constants]
        old_and_new = zip(getattr(RECORD, name), fading, getattr(DELTA, name), strict=True)
        expected = [old * fade + new for old, fade, new in old_and_new]
        assert getattr(record, name) == pytest.approx(expected, rel=1e-12)
    assert record.neighbours == {5: 1.0, 7: 1.9, 2**64 - 1: 0.81}
    assert record.fences == {0: 41, 3: 1_000_001}
    assert record.forwards == pytest.approx({5: 1.0, 7: 0.96})
    assert record.moments == tuple(old + new for old, new in zip(RECORD.moments, DELTA.moments, strict=True))


def test_a_late_delta_is_decayed_to_the_newer_time_of_the_record():
    late = ItemDelta(1, 0, 1, NOW - 9 * DAY_MS, NOW - 7 * DAY_MS, (1.0,) * 6, (1.0,) * 3)
    (record,) = apply_deltas([ItemRecord(trend_ms=NOW)], [[late]], 10)
    assert record.trend == pytest.approx([exp(-7 / days) for days in TREND_DAYS], rel=1e-12)
    assert record.entry == pytest.approx([exp(-7 / days) for days in ENTRY_DAYS], rel=1e-12)
    assert (record.first_seen_ms, record.trend_ms) == (NOW - 9 * DAY_MS, NOW)


def test_a_delta_without_engagements_leaves_the_times_alone():
    (record,) = apply_deltas([RECORD], [[ItemDelta(0, 42, exposures=1, neighbours={7: 1.0})]], 10)
    assert (record.first_seen_ms, record.trend_ms, record.trend) == (RECORD.first_seen_ms, NOW, RECORD.trend)


def test_a_delta_at_or_below_the_fence_of_its_partition_is_skipped():
    old = [ItemDelta(3, 1_000_000, count=1), ItemDelta(0, 5, count=1)]
    assert apply_deltas([RECORD], [old], 10)[0] == RECORD
    (record,) = apply_deltas([RECORD], [[*old, ItemDelta(1, 5, count=1)]], 10)
    assert (record.count, record.fences) == (4, {0: 41, 1: 5, 3: 1_000_000})


@given(st.lists(deltas, max_size=6))
def test_delivering_deltas_again_changes_nothing(batch):
    batch = sorted(batch, key=lambda delta: delta.source_offset)
    once = apply_deltas([ItemRecord()], [batch], 5)
    assert apply_deltas(once, [batch], 5)[0] == once[0]
    assert apply_deltas([ItemRecord()], [[*batch, *batch]], 5) == once


@settings(deadline=None)
@given(st.lists(st.lists(deltas, max_size=4), min_size=3, max_size=3), st.randoms(use_true_random=False), st.booleans())
def test_how_source_partitions_interleave_does_not_matter(streams, random, together):
    def stream_of(partition):
        return [
            replace(d, source_partition=partition, source_offset=offset, clicks=0)
            for offset, d in enumerate(streams[partition])
        ]

    ordered = [delta for partition in range(3) for delta in stream_of(partition)]
    waiting = [stream_of(partition) for partition in range(3)]
    mixed = []
    while any(waiting):
        mixed.append(random.choice([each for each in waiting if each]).pop(0))
    (one,) = apply_deltas([ItemRecord()], [ordered], 1000)
    other = ItemRecord()
    for batch in [mixed] if together else [[delta] for delta in mixed]:
        (other,) = apply_deltas([other], [batch], 1000)
    assert (one.count, one.exposures, one.fences) == (other.count, other.exposures, other.fences)
    assert (one.first_seen_ms, one.trend_ms) == (other.first_seen_ms, other.trend_ms)
    assert one.trend == pytest.approx(other.trend, rel=1e-9)
    assert one.entry == pytest.approx(other.entry, rel=1e-9)
    assert dict(one.neighbours) == pytest.approx(dict(other.neighbours), rel=1e-9)
    assert dict(one.forwards) == pytest.approx(dict(other.forwards), rel=1e-9)
    assert one.moments == other.moments


def test_the_lightest_neighbours_go_first_and_of_equal_ones_the_highest_hash():
    assert heaviest({1: 5.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 0.5}, 3) == {1: 5.0, 2: 1.0, 3: 1.0}
    assert heaviest({1: 5.0, 2: 1.0}, 0) == {}
    assert heaviest({1: 5.0}, 1) == {1: 5.0}


@given(st.dictionaries(st.integers(1, 50), st.sampled_from([0.5, 1.0, 2.0])), st.integers(0, 9))
def test_eviction_agrees_with_sorting(given_neighbours, limit):
    expected = sorted(given_neighbours.items(), key=lambda each: (-each[1], each[0]))[:limit]
    assert heaviest(given_neighbours, limit) == dict(expected)


def test_the_neighbours_of_a_batch_are_added_before_any_is_evicted():
    record = ItemRecord(neighbours={1: 1.5, 2: 1.2})
    batch = [ItemDelta(0, 1, neighbours={3: 1.0}), ItemDelta(0, 2, neighbours={3: 1.0})]
    assert apply_deltas([record], [batch], 2)[0].neighbours == {1: 1.5, 3: 2.0}


# --- arrays


def test_put_replaces_whole_rows_and_numbers_new_neighbours():
    index = ItemIndex()
    index.intern(np.array([10, 20], np.uint64))
    stats = ItemStatistics(index, neighbours_max=3)
    put(
        stats,
        [1],
        [ItemRecord(4, NOW, NOW, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (7.0, 8.0, 9.0), 7, 2, {10: 0.5, 30: 0.25})],
    )
    assert (stats.size, stats.version, len(index)) == (3, 1, 3)
    assert stats.count.tolist() == [0.0, 4.0, 0.0]
    assert stats.known == 1
    put(stats, [0], [ItemRecord(exposures=3)])
    put(
        stats,
        [1],
        [ItemRecord(4, NOW, NOW, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (7.0, 8.0, 9.0), 7, 2, {10: 0.5, 30: 0.25})],
    )
    assert stats.known == 2
    stats.remove([0])
    assert stats.known == 1
    assert stats.first_seen_ms.tolist() == [NEVER_MS, NOW, NEVER_MS]
    assert stats.trend[1].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert stats.entry[1].tolist() == [7.0, 8.0, 9.0]
    assert (stats.trend_ms[1], stats.exposures[1], stats.clicks[1]) == (NOW, 7, 2)
    assert stats.neighbour_row.tolist() == [NO_NEIGHBOURS, 1, NO_NEIGHBOURS]
    assert stats.neighbours.tolist() == [[-1, -1, -1], [0, 2, -1]]
    assert stats.neighbour_weights[1].tolist() == [0.5, 0.25, 0.0]
    put(stats, np.array([1]), [ItemRecord(5, neighbours={30: 9.0})])
    assert stats.neighbours[1].tolist() == [2, -1, -1]
    assert stats.neighbour_weights[1].tolist() == [9.0, 0.0, 0.0]
    assert not stats.trend[1].any()
    assert not stats.entry[1].any()
    put(stats, [1], [ItemRecord(5)])
    assert stats.neighbours[stats.neighbour_row[1]].tolist() == [-1, -1, -1]


def test_put_keeps_only_the_heaviest_neighbours_of_a_more_generous_workers_records():
    stats = ItemStatistics(ItemIndex(), neighbours_max=2)
    put(stats, [1, 0], [ItemRecord(1, neighbours={8: 1.0}), ItemRecord(2, neighbours={5: 1.0, 6: 3.0, 7: 2.0})])
    assert stats.count[:2].tolist() == [2, 1]
    assert stats.neighbour_weights[stats.neighbour_row[:2]].tolist() == [[3.0, 2.0], [1.0, 0.0]]
    put(stats, [0], [ItemRecord(2, neighbours={5: 1.0})])
    assert stats.neighbour_weights[stats.neighbour_row[0]].tolist() == [1.0, 0.0]
    put(stats, [], [])
    assert stats.version == 2


def test_of_records_of_which_one_is_none_nothing_is_put():
    stats = ItemStatistics(ItemIndex(), neighbours_max=2)
    with pytest.raises(ValueError, match=r"^item record: "):
        stats.put([0, 1], [pack_record(ItemRecord(4)), b"\x01junk"])
    assert (stats.size, stats.version) == (0, 0)


def test_rows_survive_growth():
    index = ItemIndex()
    stats = ItemStatistics(index, neighbours_max=2)
    for row in range(3000):
        put(stats, [row], [ItemRecord(row + 1, neighbours={row + 1: float(row)})])
    assert stats.count.tolist() == list(range(1, 3001))
    rows = stats.neighbour_row[:3000]
    assert (stats.neighbour_weights[rows, 0] == np.arange(3000)).all()
    assert (index.hash_of(stats.neighbours[rows, 0]) == np.arange(1, 3001)).all()


# --- batches of events into deltas


def _u64(values):
    return np.array(values, np.uint64)


def test_a_new_item_pairs_with_the_history_both_ways_and_nearer_ones_weigh_more():
    source, destination, weight, forward = pair_increments(_u64([5]), _u64([[9, 7, 0]]), 0.5, 0.25)
    assert source.tolist() == [5, 5, 7, 9]
    assert destination.tolist() == [7, 9, 5, 5]
    assert weight.tolist() == [0.5, 1.0, 0.5, 1.0]
    assert forward.tolist() == [0.0, 0.0, 0.25, 1.0]


def test_no_history_no_engagements_and_an_item_with_itself_make_no_pairs():
    for new, history in (([5], [[0, 0]]), ([], np.zeros((0, 3))), ([5], [[5, 0]]), ([0], [[5, 6]])):
        assert [column.size for column in pair_increments(_u64(new), _u64(history), 0.9, 0.6)] == [0, 0, 0, 0]


def test_moments_are_three_hours_a_weekday_and_a_context():
    monday_1430 = 1_767_623_400_000  # 2026-01-05T14:30:00Z
    assert moment_bins(np.array([monday_1430, monday_1430 + DAY_MS]), np.array([0, 3], np.uint8)).tolist() == [
        [4, 8, 15],
        [4, 9, 18],
    ]


small_batch = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 6), max_size=4, unique=True)),
    max_size=12,
)


def _columns(batch):
    history = np.zeros((len(batch), 4), np.uint64)
    for row, (_, had) in enumerate(batch):
        history[row, : len(had)] = had
    return _u64([new for new, _ in batch]), history


@given(small_batch)
def test_pairs_agree_with_the_plain_definition(batch):
    expected, follows = {}, {}
    for new, had in batch:
        for q, old in enumerate(had):
            if old != new:
                for pair in ((old, new), (new, old)):
                    expected[pair] = expected.get(pair, 0.0) + 0.9**q
                    follows[pair] = follows.get(pair, 0.0) + (0.6**q if pair == (old, new) else 0.0)
    source, destination, weight, forward = pair_increments(*_columns(batch), 0.9, 0.6)
    pairs = list(zip(source.tolist(), destination.tolist(), strict=True))
    assert pairs == sorted(expected)
    assert dict(zip(pairs, weight.tolist(), strict=True)) == pytest.approx(expected, rel=1e-12)
    assert dict(zip(pairs, forward.tolist(), strict=True)) == pytest.approx(follows, rel=1e-12)


@settings(deadline=None)
@given(small_batch, st.lists(st.integers(0, 9), max_size=5), st.lists(st.integers(0, 9), max_size=5))
def test_the_deltas_of_a_batch_sum_its_events_and_pack_like_single_ones(batch, exposed, clicked):
    new, history = _columns(batch)
    new_ms = NOW - DAY_MS * np.arange(len(batch))
    context = np.arange(len(batch)).astype(np.uint8) % 8
    is_entry = np.arange(len(batch)) % 3 == 0
    items, columns = batch_deltas(
        new,
        new_ms,
        context,
        is_entry,
        history,
        0.9,
        0.6,
        exposed=_u64(exposed),
        clicked=_u64(clicked),
        source_partition=3,
        source_offset=99,
    )
    source, destination, weight, forward = pair_increments(new, history, 0.9, 0.6)
    packed = pack_deltas(columns)
    assert sorted({*new.tolist(), *source.tolist(), *exposed, *clicked} - {0}) == items.tolist()
    for item, value in zip(items.tolist(), packed, strict=True):
        delta = unpack_delta(value)
        assert pack_delta(delta) == value
        assert (delta.source_partition, delta.source_offset) == (3, 99)
        mine = new_ms[new == item].tolist()
        assert (delta.count, delta.exposures, delta.clicks) == (len(mine), exposed.count(item), clicked.count(item))
        assert (delta.first_seen_ms, delta.trend_ms) == (min(mine, default=NEVER_MS), max(mine, default=0))
        entered = new_ms[(new == item) & is_entry].tolist()
        for name, times_ms, constants in (("trend", mine, TREND_DAYS), ("entry", entered, ENTRY_DAYS)):
            decayed = [sum(exp(-(delta.trend_ms - t) / (days * DAY_MS)) for t in times_ms) for days in constants]
            assert getattr(delta, name) == pytest.approx(tuple(decayed), rel=1e-12)
        of = source == item
        assert delta.neighbours == dict(zip(destination[of].tolist(), weight[of].tolist(), strict=True))
        forwards = dict(zip(destination[of].tolist(), forward[of].tolist(), strict=True))
        assert delta.forwards == {each: value for each, value in forwards.items() if value}
        bins = moment_bins(new_ms[new == item], context[new == item])
        assert delta.moments == tuple(np.bincount(bins.ravel(), minlength=23).tolist())


@given(st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40), st.data())
def test_the_smallest_at_a_place_is_what_sorting_puts_there(values: list[float], data: st.DataObject):
    at = data.draw(st.integers(0, len(values) - 1))

    assert smallest.py_func(np.array(values), at) == sorted(values)[at]
    assert _bar_of_few.py_func(np.array(values), at + 1) == sorted(values)[at]


def test_an_item_that_is_removed_is_as_if_nobody_had_met_it_and_its_row_of_neighbours_is_used_again():
    index = ItemIndex()
    stats = ItemStatistics(index, 4)
    given_records = [replace(RECORD, count=n, neighbours={7: 1.0 + n}, forwards={}) for n in (1, 2, 3)]
    rows = index.intern(np.array([101, 102, 103], np.uint64))
    stats.put(rows, [pack_record(record) for record in given_records])
    rows_before, row_of_102 = len(stats.neighbours), stats.neighbour_row[rows[1]]
    stats.remove(rows[1:2])

    other = ItemStatistics(index, 4)
    other.put(rows[[0, 2]], [pack_record(given_records[0]), pack_record(given_records[2])])
    for name in ("count", "first_seen_ms", "trend", "trend_ms", "exposures", "clicks", "moments", "moment_totals"):
        assert getattr(stats, name).tolist() == getattr(other, name).tolist(), name
    assert stats.neighbour_row[rows[1]] == NO_NEIGHBOURS
    assert set(stats.neighbours[row_of_102].tolist()) == {-1}

    new = index.intern(np.array([104, 105], np.uint64))
    stats.put(new, [pack_record(replace(RECORD, neighbours={7: 9.0}, forwards={}))] * 2)
    assert stats.neighbour_row[new[0]] == row_of_102
    assert len(stats.neighbours) == rows_before + 1
    assert stats.neighbour_weights[stats.neighbour_row[new]].max(axis=1).tolist() == [9.0, 9.0]


def test_the_newest_engagement_is_told_without_reading_the_rest():
    assert newest_ms(pack_record(RECORD)) == NOW
    assert newest_ms(b"") is newest_ms(b"\x07" + pack_record(RECORD)[1:]) is None


def test_neighbours_beyond_the_bound_of_memory_have_no_room_until_an_item_goes():
    index = ItemIndex()
    stats = ItemStatistics(index, 4, max_bytes=3 * 4 * 20 + 4 * 301)  # three rows, of which one is the empty one
    rows = index.intern(np.array([101, 102, 103], np.uint64))
    values = [pack_record(replace(RECORD, count=n, neighbours={7: 1.0}, forwards={})) for n in (1, 2, 3)]
    stats.put(rows, values)
    assert (stats.neighbour_row[rows] != NO_NEIGHBOURS).tolist() == [True, True, False]
    assert stats.count[rows].tolist() == [1, 2, 3]
    assert stats.without_neighbours == 1
    stats.put(rows, values)
    assert (len(stats.neighbours), stats.without_neighbours) == (3, 1)
    stats.remove(rows[:1])
    stats.put(rows[2:], values[2:])
    assert (stats.neighbour_row[rows] != NO_NEIGHBOURS).tolist() == [False, True, True]
    assert (len(stats.neighbours), stats.without_neighbours) == (3, 0)
    assert stats.neighbours[stats.neighbour_row[rows[2]]].max() == index.lookup(np.array([7], np.uint64))[0]

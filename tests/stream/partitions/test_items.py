"""stream/partitions/items.py: records wait where many change, for a bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from item_records import ItemDelta, pack_delta, unpack_record
from kafka_records import Record

from stream.partitions.items import MAX_WAIT_S, RECORDS_PER_S, ItemPartition, due_first
from stream.storage.rocks import DataDirectory

MIB = 1 << 20


@pytest.fixture
def items(tmp_path: Path) -> Iterator[ItemPartition]:
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    stores = directory.stores("items")
    yield ItemPartition(stores[0], 10)
    stores.close_all()
    directory.close()


def change(items: ItemPartition, n: int, offset: int) -> None:
    items.apply([Record(offset, b"i%d" % k, pack_delta(ItemDelta(0, offset, count=1))) for k in range(n)])


def test_the_first_change_waits_for_nothing_and_few_changes_for_a_part_of_a_second(items: ItemPartition) -> None:
    change(items, 10 * RECORDS_PER_S, 1)
    assert items.is_due(100.0)
    items.take(100.0)
    change(items, RECORDS_PER_S // 2, 2)
    assert not items.is_due(100.4)
    assert items.is_due(100.5)


def test_records_of_items_are_forgotten_beyond_so_many_bytes_but_for_those_not_yet_written(
    items: ItemPartition,
) -> None:
    change(items, 10, 1)
    stored = items.take(0.0).stored
    items.store.write(zip(stored.keys, stored.values, strict=True), 1)
    items.trim(items.nbytes)
    assert items.nbytes > 0
    ten_records = items.nbytes
    change(items, 2, 2)
    items.trim(ten_records - 1)
    assert items.nbytes == ten_records / 5
    assert items.n_changed == 2


def test_many_changes_wait_in_one_record_each_but_never_longer_than_the_limit(items: ItemPartition) -> None:
    items.take(0.0)
    many = int(RECORDS_PER_S * MAX_WAIT_S) + 1
    for offset in range(3):
        change(items, many, offset)
    assert not items.is_due(MAX_WAIT_S - 0.1)
    assert items.is_due(MAX_WAIT_S)
    assert len(items.take(MAX_WAIT_S).stored.keys) == many


def test_where_nothing_changed_there_is_nothing_to_wait_for(items: ItemPartition) -> None:
    items.take(50.0)
    assert items.is_due(50.0)


def test_where_all_partitions_are_due_at_once_a_commit_takes_those_that_have_waited_longest_and_no_more_than_the_room(
    tmp_path: Path,
) -> None:
    directory = DataDirectory(tmp_path / "several", 8 * MIB, 8 * MIB)
    stores = directory.stores("items")
    several = {p: ItemPartition(stores[p], 10) for p in range(4)}
    many = int(RECORDS_PER_S * MAX_WAIT_S)
    for p, items in several.items():
        items.take(float(-p))  # the last has waited longest
        change(items, many, 1)
    now_s, order = MAX_WAIT_S, []
    while len(order) < len(several):
        (taken,) = due_first(several, now_s, 1.0)
        several[taken].take(now_s)
        order.append(taken)
        now_s += 1.0
    assert order == [3, 2, 1, 0]
    for items in several.values():
        items.take(now_s)
        change(items, 10, 2)
    assert due_first(several, now_s + 1.0, 1.0) == [0, 1, 2, 3], "few changes wait for nobody"
    stores.close_all()
    directory.close()


GOOD = pack_delta(ItemDelta(0, 1, count=1))


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"a", b""), (b"a", None), (None, GOOD), (b"", GOOD), (b"a", b"\xff"), (b"a", GOOD[:-1] + b"\x00")],
)
def test_a_delta_that_cannot_be_read_costs_nobody_else_theirs(
    items: ItemPartition, key: bytes | None, value: bytes | None
) -> None:
    wrong = Record(1, key, value)
    refused = items.apply([Record(0, b"b", GOOD), wrong, Record(2, b"c", GOOD)])
    assert [each.record for each in refused] == [wrong]
    assert refused[0].why
    assert sorted(items.take().stored.keys) == [b"b", b"c"]
    assert items.apply([Record(3, b"a", GOOD)]) == []


def test_the_stored_statistics_of_a_later_release_are_left_as_they_are(items: ItemPartition) -> None:
    items.store.write([(b"a", b"\x09of a later release")], None)
    for offset in range(2):
        records = [Record(offset, key, GOOD) for key in (b"a", b"b", b"a")]
        assert [each.record.key for each in items.apply(records)] == [b"a", b"a"]
        assert items.take().stored.keys == [b"b"]


def count_of(value: bytes) -> int:
    return unpack_record(value).count


def test_an_item_that_expires_is_a_tombstone_unless_something_new_of_it_waits(items: ItemPartition) -> None:
    change(items, 3, 1)
    written = items.take(0.0)
    items.store.write(written.values, 1)
    items.expired = dict.fromkeys([b"i0", b"i1"])
    change(items, 1, 2)  # of i0
    taken = items.take(1.0)
    assert (list(taken.stored.keys), taken.marks) == ([b"i0"], [(b"i1", None)])
    assert count_of(taken.stored.values[0]) == 2
    items.store.write(taken.values, 2)
    assert items.store.get_many([b"i1"]) == [None]
    assert items.take(2.0).marks == []


def test_what_comes_of_an_expired_item_before_the_store_has_its_tombstone_begins_anew(items: ItemPartition) -> None:
    change(items, 2, 1)
    items.store.write(items.take(0.0).values, 1)
    again = ItemPartition(items.store, 10)  # it has nothing in memory
    again.expired = dict.fromkeys([b"i0"])
    tombstones = again.take(1.0)
    change(again, 1, 2)
    again.store.write(tombstones.values, 2)
    taken = again.take(2.0)
    assert [count_of(value) for value in taken.stored.values] == [1]

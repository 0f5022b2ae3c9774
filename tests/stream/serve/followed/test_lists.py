"""Last lists: kept as published, counted, and told to whoever waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

from followed_records import list_record, tables

from stream.kafka.replica import Replicated
from stream.serve.followed.lists import Arrived, LastLists


def test_the_newest_list_of_everybody_is_kept_with_where_reading_goes_on(tmp_path: Path):
    arrived: list[Arrived] = []
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], arrived.extend)
        assert lists.position(0) is None
        lists.take(
            0, [list_record("mei", 3, ["a"], 0), list_record("tom", 4, ["b"], 1), list_record("mei", 5, ["c"], 2)]
        )
        assert lists.position(0) == 3
        assert lists.position(1) is None
        found = lists.get(b"mei")
        assert found is not None
        assert [item.item_id for item in found.items] == ["c"]
        assert lists.get(b"nobody") is None
        assert lists.count() == 2
        assert [(each.user, each.source.offset, each.timestamp_ms) for each in arrived] == [
            (b"mei", 3, 1000),
            (b"tom", 4, 1001),
            (b"mei", 5, 1002),
        ]
    with tables(tmp_path) as made:
        again = LastLists(made["lists"], arrived.extend)
        assert again.position(0) == 3
        assert again.get(b"mei") is not None
        again.take(0, [Replicated(b"mei", None, 0, 3, 0)])
        assert again.get(b"mei") is None
        assert again.count() == 1
        again.begin_anew()
        assert again.position(0) is None
        assert again.get(b"tom") is None


def test_a_list_that_cannot_be_read_is_none_and_stops_nobody(tmp_path: Path):
    arrived: list[Arrived] = []
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], arrived.extend)
        lists.take(0, [Replicated(b"mei", b"garbage", 0, 0, 0), Replicated(None, b"{}", 0, 1, 0)])
        assert lists.get(b"mei") is None
        assert arrived == []
        assert lists.position(0) == 2


def test_places_that_exploration_filled_are_counted(tmp_path: Path):
    arrived: list[Arrived] = []
    with tables(tmp_path) as made:
        LastLists(made["lists"], arrived.extend).take(0, [list_record("mei", 1, ["a", "b"], strategy="explore")])
    assert (arrived[0].places, arrived[0].explored) == (2, 2)


async def test_whoever_waits_is_told_of_their_own_list_alone(tmp_path: Path):
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], lambda _: None)
        mine, other = lists.waiter(b"mei"), lists.waiter(b"tom")
        assert lists.waiting == 2
        await asyncio.to_thread(lists.take, 0, [list_record("mei", 1, ["a"])])
        assert await mine.wait(10)
        assert not await other.wait(0.01)
        assert lists.waiting == 0


async def test_who_gives_up_is_forgotten(tmp_path: Path):
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], lambda _: None)
        waiters = [lists.waiter(b"mei") for _ in range(3)]
        waiters[1].forget()
        assert lists.waiting == 2
        for each in waiters:
            each.forget()
        assert lists.waiting == 0


def test_some_lists_are_people_and_nothing_else(tmp_path: Path):
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], lambda _: None)
        lists.take(0, [list_record(f"u{n}", n, ["a"], n) for n in range(10)])
        assert [user for user, _ in lists.some(4)] == [b"u0", b"u1", b"u2", b"u3"]
        assert len(lists.some()) == 10

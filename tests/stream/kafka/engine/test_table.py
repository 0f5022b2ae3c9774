"""The changelog as it is applied to a store: in order, each record once, and never over a hole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from stream.errors import InvariantError
from stream.kafka.engine.fetching import Chunk
from stream.kafka.engine.table import ChangelogStore, StoreOptions
from stream.kafka.log_ends import Bounds
from stream.storage.rocks import DataDirectory, PartitionStores

MIB = 1 << 20


class World:
    def __init__(self, stores: PartitionStores) -> None:
        self.stores, self.fatal_errors, self.log_end = stores, [], 9
        app = faust.App("table", broker="kafka://127.0.0.1:1")
        options = StoreOptions(
            stores,
            lambda where: dict.fromkeys(where, (0, self.log_end)),
            self.fatal,
            "events",
            lambda topic, partitions: self.claims.extend((topic, p) for p in partitions),
            lambda *partition: self.claims.remove(partition),
            lambda records: None,
        )
        self.claims: list[tuple[str, int]] = []
        table: Any = SimpleNamespace(name="users", changelog_topic=SimpleNamespace(topics=("changelog",)))
        self.store = ChangelogStore("penchant://", app, table, options={"penchant": options})

    async def fatal(self, error: BaseException) -> None:
        self.fatal_errors.append(error)

    def apply(self, start: int, *values: tuple[int, bytes, bytes | None], end: int) -> None:
        """A chunk from `start` to `end` with records of `(offset, key, value)`: compaction leaves gaps."""
        records = [SimpleNamespace(offset=offset, key=key, value=value) for offset, key, value in values]
        message = SimpleNamespace(partition=0, value=Chunk(records, end, start))
        self.store.apply_changelog_batch([SimpleNamespace(message=message)], None, None)

    @property
    def content(self) -> tuple[int | None, dict[bytes, bytes]]:
        return self.stores[0].changelog_offset(), dict(self.stores[0].items())


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    stores = directory.stores("users")
    yield World(stores)
    stores.close_all()
    directory.close()


async def test_chunks_are_applied_in_order_with_the_offset_they_go_up_to(world: World) -> None:
    world.apply(0, (2, b"ann", b"1"), (5, b"bob", b"1"), end=6)
    world.apply(6, (8, b"ann", None), (9, b"bob", b"2"), end=10)
    assert world.content == (9, {b"bob": b"2"})


async def test_a_chunk_that_is_read_twice_does_not_undo_what_came_after_it(world: World) -> None:
    world.apply(0, (0, b"ann", b"old"), end=1)
    world.apply(1, (1, b"ann", b"new"), end=2)
    world.apply(0, (0, b"ann", b"old"), end=1)
    assert world.content == (1, {b"ann": b"new"})
    world.apply(0, (0, b"ann", b"old"), (2, b"bob", b"1"), end=3)
    assert world.content == (2, {b"ann": b"new", b"bob": b"1"})


async def test_a_chunk_behind_one_that_did_not_arrive_stops_the_worker(world: World) -> None:
    world.apply(0, (0, b"ann", b"1"), end=1)
    with pytest.raises(InvariantError, match="offsets 1 to 3 did not arrive"):
        world.apply(4, (4, b"ann", b"2"), end=5)
    await world.store._crashing
    assert len(world.fatal_errors) == 1
    assert world.content == (0, {b"ann": b"1"})


async def test_owned_partitions_are_claimed_at_every_rebalance_and_those_of_standbys_are_not(world: World) -> None:
    events, changelog = [[TP(topic, p) for p in range(3)] for topic in ("events", "changelog")]
    first = {events[0], events[1], *changelog}  # a standby of partition 2
    await world.store.on_rebalance(first, set(), first)
    assert sorted(world.claims) == [("changelog", 0), ("changelog", 1)]
    await world.store.on_rebalance({events[0], *changelog}, {events[1]}, set())
    assert sorted(world.claims) == [("changelog", 0), ("changelog", 0)]


async def test_a_claim_that_has_begun_before_faust_comes_to_the_table_is_not_made_twice_and_not_kept_for_later(
    world: World,
) -> None:
    first = {TP("events", 0), TP("changelog", 0)}
    world.store.begin_claims(first)
    await world.store.on_rebalance(first, set(), first)
    assert world.claims == [("changelog", 0)]
    world.claims.clear()
    await world.store.on_rebalance(first, set(), set())
    assert world.claims == [("changelog", 0)], "between two rebalances it may have been another's"


async def test_a_partition_is_claimed_before_anybody_asks_where_its_changelog_ends(world: World) -> None:
    world.stores[0].write([(b"ann", b"1")], 9)  # at the end and not before it: not of this changelog
    asked = []

    def ask(where: Sequence[tuple[str, int]]) -> Bounds:
        asked.append(list(world.claims))
        return dict.fromkeys(where, (0, 9))

    world.store._given = replace(world.store._given, ask_bounds=ask)
    assigned = {TP("events", 0), TP("changelog", 0)}
    await world.store.on_rebalance(assigned, set(), assigned)
    assert asked == [[("changelog", 0)]]
    assert world.content == (None, {})


async def test_a_store_whose_first_write_was_interrupted_is_wiped_when_it_is_assigned(world: World) -> None:
    # Slices of it are there, and no offset: they may be of a log that is gone, which an offset would tell.
    changelog = TP("changelog", 0)
    world.stores[0].write([(b"ann", b"1")], None)
    await world.store.on_rebalance({changelog}, set(), {changelog})
    assert world.content == (None, {})


async def test_a_store_ahead_of_its_changelog_is_wiped_when_it_is_assigned(world: World) -> None:
    # The topic was deleted and made again, or lived in an embedded broker's memory: what the store holds is of another log.
    changelog = TP("changelog", 0)
    world.apply(0, (0, b"ann", b"1"), end=1)
    world.log_end = 1
    await world.store.on_rebalance({changelog}, set(), {changelog})
    assert world.content == (0, {b"ann": b"1"}), "it ends with the log"
    world.log_end = 0
    await world.store.on_rebalance({changelog}, set(), {changelog})
    assert world.content == (None, {})

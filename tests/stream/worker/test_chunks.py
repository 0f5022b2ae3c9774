"""Item deltas are applied in slices: what else waits for the loop has its turn between any two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from commit_world import World
from kafka_records import Record, event_record

from stream.kafka.engine.fetching import Chunk
from stream.kafka.types import TopicPartition
from stream.worker.quantum import Quantum


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    yield world
    world.stores.close_all()
    world.directory.close()


async def test_between_two_slices_of_deltas_others_have_a_turn_and_the_offset_moves_after_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [event_record(n, f"u{n}", action="click", item_id=f"i{n}") for n in range(10)]
    world.tracker.apply(world.users, world.tracker.read(world.users, records), 0.0)
    world.users.next_offset = 10
    await world.committer.commit()
    deltas = [(key, value) for topic, key, value in world.broker.values if topic == world.settings.topic_item_deltas]
    assert len(deltas) == 10
    monkeypatch.setattr(Quantum, "deltas", lambda self, now, behind, *, events_wait: 3)
    chunk = Chunk([Record(n, key, value) for n, (key, value) in enumerate(deltas)], 11, 0)
    tp = TopicPartition(world.settings.topic_item_deltas, 1)
    applying = asyncio.ensure_future(world.worker().chunks.handle_deltas(tp, chunk, 1))
    turns = 0
    while not applying.done():
        await asyncio.sleep(0)
        turns += 1
        if not applying.done() and 1 in world.tracker.items:
            assert world.tracker.items[1].next_offset is None
    assert turns >= 4
    assert world.tracker.items[1].next_offset == 11
    assert len(world.tracker.items[1].take().stored.keys) == 10


async def test_deltas_that_the_broker_dropped_before_they_were_read_are_counted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.broker.committed, world.broker.first = 5, 12
    tp = TopicPartition(world.settings.topic_item_deltas, 1)
    worker = world.worker()
    await worker.chunks.handle_deltas(tp, Chunk([], 13, 12), 1)
    assert world.tracker.items[1].next_offset == 13
    assert worker.chunks._metrics.input.lost._value.get() == 7
    assert "interest.item-deltas partition 1: 7 records were dropped by the broker" in caplog.text
    await worker.chunks.handle_deltas(tp, Chunk([], 14, 13), 1)
    assert worker.chunks._metrics.input.lost._value.get() == 7

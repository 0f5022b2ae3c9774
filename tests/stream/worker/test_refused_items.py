"""Catalogue records that cannot be read: each is told of once, by the worker that owns partition 0."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from commit_world import World
from kafka_records import NOW_MS

from stream.kafka.replica import Replicated
from stream.kafka.types import TopicPartition
from stream.partitions.users import UserPartition
from stream.state.told import TOLD_PREFIX
from stream.worker import refused_items
from stream.worker.worker import Worker

UNREADABLE = b'{"item_id":"tea","title":"Tea","available":"false"}'
ENVELOPE = b'{"schema":{},"payload":{"item_id":"mug","title":"Mug"}}'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    yield world
    world.stores.close_all()
    world.directory.close()


def record(offset: int, key: bytes | None, value: bytes, timestamp_ms: int = NOW_MS, partition: int = 2) -> Replicated:
    return Replicated(key, value, partition, offset, timestamp_ms)


def restarted(world: World) -> None:
    """The worker forgets what is in memory; the store keeps what was committed."""
    world.tracker.refused_items = refused_items.RefusedItems()
    world.users = world.tracker.users[0] = UserPartition(0, world.store)


async def measure_once(world: World) -> Worker:
    worker = world.worker()
    measuring = asyncio.ensure_future(
        worker.measure_forever(lambda: {TopicPartition(world.settings.topic_events, 0): 0})
    )
    for _ in range(100):
        await asyncio.sleep(0)
    assert not measuring.done()
    measuring.cancel()
    return worker


async def test_a_record_that_cannot_be_read_is_a_dead_letter_with_its_id_reason_and_place(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.tracker.replicate_items([record(5, b"tea", UNREADABLE), record(6, None, ENVELOPE)], 0.0)
    await measure_once(world)

    tea, mug = world.broker.sent(world.settings.topic_dead_letter)
    assert (tea.key, tea.value) == (b"tea", UNREADABLE)
    assert (mug.key, mug.value) == (None, ENVELOPE)
    headers = dict(tea.headers)
    assert headers.pop("detail") == b"Expected `bool`, got `str` - at `$.available`"
    assert headers == {
        "reason": b"schema",
        "topic": b"interest.items",
        "partition": b"2",
        "offset": b"5",
        "timestamp": str(NOW_MS).encode(),
    }
    assert "catalogue records that cannot be read: 2, on interest.dead-letter" in caplog.text
    assert "interest.items partition 2 offset 6" in caplog.text


async def test_what_was_told_and_committed_is_not_told_again_after_a_restart(world: World) -> None:
    world.tracker.replicate_items([record(5, b"tea", UNREADABLE)], 0.0)
    await measure_once(world)
    await world.committer.commit()
    steps = [step[0] for step in world.broker.steps]
    assert steps.index("send") < steps.index("flush") < steps.index("transaction")
    restarted(world)
    world.tracker.replicate_items([record(5, b"tea", UNREADABLE), record(9, b"mug", UNREADABLE)], 0.0)
    await measure_once(world)

    assert [each.key for each in world.broker.sent(world.settings.topic_dead_letter)] == [b"tea", b"mug"]
    assert len(world.store.items_with_prefix(TOLD_PREFIX)) == 1


async def test_what_was_told_and_not_committed_is_told_again(world: World) -> None:
    world.tracker.replicate_items([record(5, b"tea", UNREADABLE)], 0.0)
    await measure_once(world)
    restarted(world)
    world.tracker.replicate_items([record(5, b"tea", UNREADABLE)], 0.0)
    await measure_once(world)

    assert [each.key for each in world.broker.sent(world.settings.topic_dead_letter)] == [b"tea", b"tea"]


async def test_a_worker_without_partition_0_keeps_it_for_the_day_when_it_has_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_items, "KEPT_MAX_RECORDS", 2)
    users = world.tracker.users.pop(0)
    world.broker.start_offset = lambda tp: None  # type: ignore[method-assign]
    world.tracker.replicate_items([record(n, b"tea%d" % n, UNREADABLE) for n in range(3)], 0.0)
    await measure_once(world)
    assert world.broker.sent(world.settings.topic_dead_letter) == []
    world.tracker.users[0] = users
    world.broker.member = False
    await measure_once(world)
    assert world.broker.sent(world.settings.topic_dead_letter) == []
    world.broker.member = True
    await measure_once(world)

    assert [each.key for each in world.broker.sent(world.settings.topic_dead_letter)] == [b"tea1", b"tea2"]


async def test_a_topic_that_was_made_anew_is_told_of_from_its_beginning(world: World) -> None:
    world.tracker.replicate_items([record(50, b"tea", UNREADABLE)], 0.0)
    await measure_once(world)
    await world.committer.commit()
    restarted(world)
    world.tracker.replicate_items([record(0, b"mug", UNREADABLE, NOW_MS + 1)], 0.0)
    await measure_once(world)

    assert [each.key for each in world.broker.sent(world.settings.topic_dead_letter)] == [b"tea", b"mug"]

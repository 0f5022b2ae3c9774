"""A key in a foreign partition is treated like a record without a key; who has a state there stays."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from commit_world import World
from kafka_records import event_record

from stream.kafka.engine.fetching import Chunk
from stream.kafka.partitioner import key_partition
from stream.kafka.types import TopicPartition
from stream.state.log_mark import LogMark
from stream.wire.records import event_decoder
from stream.worker.foreign_keys import REKEYED_HEADER

USERS = [f"u{n}" for n in range(40)]
HOME = [user for user in USERS if key_partition(user.encode(), 4, "murmur2_random") == 0]
FOREIGN = [user for user in USERS if user not in HOME]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    world.users.log = LogMark(None, 0, 0, 4, 4)
    yield world
    world.stores.close_all()
    world.directory.close()


async def read(world: World, records: list) -> None:
    tp = TopicPartition(world.settings.topic_events, 0)
    await world.chunks.handle_events(tp, Chunk(records, records[-1].offset + 1, records[0].offset), 1)


def again(world: World) -> list[bytes | None]:
    return [sent.key for sent in world.broker.sent(world.settings.topic_events)]


async def test_foreign_events_are_produced_again_under_their_key_counted_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.chunks = world.worker().chunks
    with caplog.at_level(logging.WARNING):
        await read(world, [event_record(n, user, action="click", item_id="cup") for n, user in enumerate(USERS)])
        await read(world, [event_record(40, FOREIGN[0], action="click", item_id="cup")])
    assert again(world) == [user.encode() for user in [*FOREIGN, FOREIGN[0]]]
    sent = world.broker.sent(world.settings.topic_events)[0]
    event = event_decoder.decode(sent.value or b"")
    assert (event.user_id, event.item_id, event.action) == (FOREIGN[0], "cup", "click")
    assert event.event_id.startswith("penchant-rekeyed-0-")
    assert sorted(world.users.overlay.snapshot().keys) == sorted(user.encode() for user in HOME)
    assert world.chunks._metrics.input.foreign._value.get() == len(FOREIGN) + 1
    assert len([line for line in caplog.messages if "told once" in line]) == 1


async def test_who_has_a_state_here_stays(world: World) -> None:
    world.events(FOREIGN[0])
    await world.committer.commit()
    world.chunks = world.worker().chunks
    await read(world, [event_record(1, FOREIGN[0], action="click", item_id="cup")])
    assert again(world) == []


async def test_what_was_produced_again_is_not_produced_a_third_time(world: World) -> None:
    world.chunks = world.worker().chunks
    record = event_record(0, FOREIGN[0], action="click", item_id="cup")._replace(headers=((REKEYED_HEADER, b"2-7"),))
    await read(world, [record, event_record(1, FOREIGN[1], action="click", item_id="cup")])
    assert again(world) == [FOREIGN[1].encode()]

"""What the last owner of a partition left undone is found without an event, once, and without holding up the loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from commit_world import World

from stream.kafka.types import TopicPartition
from stream.state.ledger import LEDGER_PREFIX
from stream.state.owed import OWED_PREFIX, pack_mark
from stream.worker import inheritance
from stream.worker.worker import Worker


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    world.tracker.users.clear()  # nothing has come since the start
    yield world
    world.stores.close_all()
    world.directory.close()


async def measure_once(worker: Worker, world: World) -> None:
    measuring = asyncio.ensure_future(
        worker.measure_forever(lambda: {TopicPartition(world.settings.topic_events, 0): 0})
    )
    for _ in range(100):
        await asyncio.sleep(0)
    assert not measuring.done()
    measuring.cancel()


def marks(world: World) -> list[bytes]:
    return [key for key, _ in world.store.items_with_prefix(OWED_PREFIX)]


async def test_users_who_were_owed_a_list_at_a_crash_get_it_although_no_event_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inheritance, "MARKS_AT_ONCE", 2)
    users = [f"u{n}".encode() for n in range(5)]
    world.store.write([(b"ann", b"state")] + [(OWED_PREFIX + user, pack_mark(7)) for user in users], 3)
    worker, queue = world.worker(), world.tracker.queue
    await measure_once(worker, world)
    assert (len(queue), queue.owed_users, queue.owed_since_ms) == (5, 5, 7)
    await measure_once(worker, world)
    assert queue.owed_users == 5
    while worker.refresh_once():
        pass
    sent = [step[2] for step in world.broker.steps if step[:2] == ("send", world.settings.topic_recommendations)]
    assert sorted(sent) == users
    assert marks(world) != [], "until the lists are acknowledged"
    await world.committer.commit()
    assert marks(world) == []
    assert [key for key, _ in world.store.items() if not key.startswith(LEDGER_PREFIX)] == [b"ann"]
    assert not any(step[0] == "durable" for step in world.broker.steps), "no event was read"
    assert world.broker.steps.index(("flush",)) < [step[0] for step in world.broker.steps].index("transaction")


async def test_many_partitions_are_opened_one_a_turn_of_the_loop(world: World) -> None:
    worker, owned = world.worker(), {TopicPartition(world.settings.topic_events, p): 0 for p in range(4)}
    measuring = asyncio.ensure_future(worker.measure_forever(lambda: owned))
    opened = [0]
    for _ in range(100):
        await asyncio.sleep(0)
        opened.append(len(world.tracker.users))
    measuring.cancel()
    assert opened[-1] == 4
    assert max(after - before for before, after in itertools.pairwise(opened)) == 1


async def test_a_partition_is_opened_only_when_it_is_recovered_and_still_this_workers(world: World) -> None:
    world.store.write([(OWED_PREFIX + b"ann", pack_mark(7))], 3)
    worker, start_offset = world.worker(), world.broker.start_offset
    world.broker.start_offset = lambda tp: None  # type: ignore[method-assign]
    await measure_once(worker, world)
    assert world.tracker.users == {}
    world.broker.start_offset = start_offset  # type: ignore[method-assign]
    worker.chunks.revoked()
    await measure_once(worker, world)
    assert world.tracker.users == {}
    await world.worker().chunks.opened(TopicPartition(world.settings.topic_events, 0))
    assert list(world.tracker.users) == [0]

"""The order of a commit, and that nothing later happens when something earlier failed."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commit_world import Broker, World
from item_records import ItemDelta, pack_delta, unpack_record
from kafka_records import NOW_MS, Record, event_record

from models.items.record import unpack_deltas
from stream.errors import DeliveryError, InvariantError
from stream.kafka.engine.fetching import Chunk
from stream.kafka.types import TopicPartition
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.state.owed import OWED_PREFIX, read_mark
from stream.worker import worker as worker_module
from stream.worker.worker import TURNS_AFTER_BATCH


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    yield world
    world.stores.close_all()
    world.directory.close()


async def test_outputs_come_before_the_changelog_the_store_and_the_offsets(world: World) -> None:
    world.events("ann", "bob")
    world.tracker.queue.next_batch(9)  # both have their lists
    await world.committer.commit()
    settings = world.settings
    assert world.broker.steps == [
        ("flush",),
        (
            "transaction",
            (settings.changelog_topic, b"ann"),
            (settings.changelog_topic, b"bob"),
            (settings.topic_item_deltas, b"cup"),
            (settings.topic_attributions, b"ann"),
            (settings.topic_attributions, b"bob"),
        ),
        ("durable", {TopicPartition(settings.topic_events, 0): 2}),
        ("commit",),
    ]
    assert world.store.changelog_offset() == 8
    assert [key for key, _ in world.store.items()] == [b"ann", b"bob"]


async def test_offsets_are_never_committed_past_an_event_whose_user_still_waits_for_a_list(world: World) -> None:
    world.events("ann", "bob", "ann")
    assert world.tracker.queue.next_batch(1).due[0].key == b"ann"  # type: ignore[union-attr]
    await world.committer.commit()
    assert ("durable", {TopicPartition(world.settings.topic_events, 0): 1}) in world.broker.steps
    assert world.store.changelog_offset() == 8, "state does not wait for lists"


async def test_a_user_who_is_owed_a_list_holds_no_offset_back_and_the_mark_is_in_the_same_transaction(
    world: World,
) -> None:
    mark, steps = (world.settings.changelog_topic, OWED_PREFIX + b"ann"), world.broker.steps
    world.events("ann", "bob")
    world.tracker.queue.owe(1.0)
    await world.committer.commit()
    assert mark in steps[1]
    assert steps[2] == ("durable", {TopicPartition(world.settings.topic_events, 0): 2})
    assert [read_mark(value) for _, value in world.store.items_with_prefix(OWED_PREFIX)] == [NOW_MS] * 2
    steps.clear()
    assert world.tracker.queue.next_batch(1).due[0].key == b"ann"  # type: ignore[union-attr]
    await world.committer.commit()
    assert steps[:2] == [("flush",), ("transaction", mark)], "the list is acknowledged before the mark is deleted"
    assert world.broker.values[-1] == (*mark, None)
    assert [key for key, _ in world.store.items_with_prefix(OWED_PREFIX)] == [OWED_PREFIX + b"bob"]


@pytest.mark.parametrize("output", [True, False])
async def test_nothing_is_committed_or_stored_when_a_record_was_not_accepted(world: World, output: bool) -> None:
    world.events("ann")
    world.broker.fail_flush, world.broker.fail_write = output, not output
    with pytest.raises(DeliveryError):
        await world.committer.commit()
    assert bool(world.broker.values) is not output
    assert ("commit",) not in world.broker.steps
    assert world.store.changelog_offset() is None


async def test_a_changelog_that_another_worker_has_claimed_stops_this_one(world: World) -> None:
    world.events("ann")
    await world.committer.commit()
    world.events("ann")
    world.broker.owner = False
    with pytest.raises(InvariantError, match="another worker"):
        await world.committer.commit()
    assert world.broker.steps.count(("commit",)) == 1
    assert world.store.changelog_offset() == 7
    assert world.broker.changelog_end == 8


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_commit_that_failed_is_the_last_one(world: World, cancelled: bool) -> None:
    # Faust commits once more while the worker is about to stop. What the failed commit took is in no later snapshot.
    world.events("ann")
    world.tracker.queue.next_batch(9)
    flush = world.broker.flush

    async def fail() -> None:
        raise asyncio.CancelledError if cancelled else InvariantError("lost the partition")

    world.broker.flush = fail  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError if cancelled else InvariantError):
        await world.committer.commit()
    world.broker.flush = flush  # type: ignore[method-assign]
    with pytest.raises(InvariantError, match="an earlier commit failed"):
        await world.committer.commit()
    assert ("commit",) not in world.broker.steps


async def test_an_event_applied_during_a_commit_is_in_the_next_one(world: World) -> None:
    world.events("ann")
    flush = world.broker.flush

    async def apply_meanwhile() -> None:
        if world.users.next_offset == 1:
            world.events("bob")
        await flush()

    world.broker.flush = apply_meanwhile  # type: ignore[method-assign]
    world.tracker.queue.next_batch(9)
    await world.committer.commit()
    assert [key for key, _ in world.store.items()] == [b"ann"]
    assert world.broker.steps[-2] == ("durable", {TopicPartition(world.settings.topic_events, 0): 1})
    world.tracker.queue.next_batch(9)
    await world.committer.commit()
    assert [key for key, _ in world.store.items()] == [b"ann", b"bob"]
    assert world.broker.steps[-2] == ("durable", {TopicPartition(world.settings.topic_events, 0): 2})


@pytest.mark.parametrize("committed", [True, False])
async def test_what_is_read_again_after_a_crash_counts_once_for_items_however_it_is_cut(
    world: World, tmp_path: Path, committed: bool
) -> None:
    """Deltas and states are one transaction: either both were there before the crash, or neither."""
    records = [event_record(i, f"u{i % 3}", action="click", item_id=f"i{i % 4}") for i in range(8)]

    def counted(*brokers: Broker) -> Counter[bytes]:
        """First engagements by item, in all deltas that readers of the topic get to see."""
        counts: Counter[bytes] = Counter()
        for broker in brokers:
            sent = [(key, value) for topic, key, value in broker.values if topic == broker.settings.topic_item_deltas]
            for (key, _), count in zip(sent, unpack_deltas([value for _, value in sent]).count.tolist(), strict=True):
                counts[key] += count
        return counts

    first = world.tracker.new_users(0, world.store)
    world.tracker.open_users(first)
    world.tracker.apply(first, world.tracker.read(first, records[:5]), 0.0)
    first.next_offset = 5
    world.broker.fail_write = not committed
    if committed:
        await world.committer.commit()
    else:
        with pytest.raises(DeliveryError):
            await world.committer.commit()
        world.broker.values.clear()  # an aborted transaction is not to be seen
    recovered = list(world.store.items())
    assert bool(recovered) is committed

    again, never_crashed = World(tmp_path / "again"), World(tmp_path / "never")
    again.store.write(recovered, 7)  # what recovery finds in the changelog
    again.tracker.users.clear()
    worker = again.worker()
    for start, end in ((0, 2), (2, 6), (6, 8)):  # from the committed offset, and cut otherwise
        await worker.chunks.handle_events(
            TopicPartition(again.settings.topic_events, 0), Chunk(records[start:end], end, start), 1
        )
        await again.committer.commit()
    users = never_crashed.tracker.new_users(0, never_crashed.store)  # as a worker opens it
    never_crashed.tracker.open_users(users)
    never_crashed.tracker.apply(users, never_crashed.tracker.read(users, records), 0.0)
    users.next_offset = 8
    await never_crashed.committer.commit()
    assert counted(world.broker, again.broker) == counted(never_crashed.broker)
    assert dict(again.store.items()) == dict(never_crashed.store.items())
    for other in (again, never_crashed):
        other.stores.close_all()
        other.directory.close()


async def test_lists_have_their_turn_between_two_partitions_of_a_commit_that_nobody_waits_for(world: World) -> None:
    taken: list[str] = []
    take = world.tracker.take

    def note(users: UserPartition) -> Any:
        taken.append(f"partition {users.partition}")
        return take(users)

    async def make_lists() -> None:
        taken.append("lists")

    world.tracker.take = note  # type: ignore[method-assign]
    world.tracker.users[1] = UserPartition(1, world.stores[1])
    for whole, order in ((False, ["partition 0", "lists", "partition 1"]), (True, ["partition 0", "partition 1"])):
        lists = asyncio.ensure_future(make_lists())
        await world.committer.commit(whole=whole)
        await lists
        assert taken[: len(order)] == order
        taken.clear()


async def test_a_chunk_that_fails_between_two_partitions_of_a_commit_leaves_nothing_durable(world: World) -> None:
    async def fail_in_a_chunk() -> None:
        world.committer.abandon()

    world.events("ann")
    failing = asyncio.ensure_future(fail_in_a_chunk())
    await world.committer.commit(whole=False)
    await failing
    assert world.broker.steps == []
    assert world.store.changelog_offset() is None


async def test_what_one_user_says_about_items_is_bounded_too_while_a_commit_waits(world: World) -> None:
    world.events(*["ann"] * 500)
    before = world.users.nbytes
    assert before > world.users.overlay.nbytes
    world.events(*["ann"] * 500)
    assert world.users.nbytes > before
    assert world.tracker.nbytes == world.users.nbytes
    await world.committer.commit()
    assert world.users.nbytes == world.users.overlay.nbytes + world.users.outcomes.ledgers.nbytes


async def test_a_chunk_left_half_applied_by_a_bug_is_never_made_durable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.worker()
    world.events("ann")  # changed and not committed, so a snapshot would include her

    def broken(*_: Any) -> None:
        world.users.overlay.states.fence[0] = 5
        raise ZeroDivisionError

    monkeypatch.setattr(world.tracker, "apply", broken)
    records = [event_record(5, "ann", action="click", item_id="cup")]
    with pytest.raises(ZeroDivisionError):
        await worker.chunks.handle_events(TopicPartition(world.settings.topic_events, 0), Chunk(records, 6, 1), 1)
    await world.committer.commit()
    assert world.broker.steps == []
    assert list(world.store.items()) == []


async def test_a_chunk_behind_one_that_did_not_arrive_waits_until_that_one_was_read_again(world: World) -> None:
    worker = world.worker()
    world.tracker.users.clear()
    tp = TopicPartition(world.settings.topic_events, 0)

    def chunk(start: int, end: int) -> Chunk:
        records = [event_record(o, "ann", action="click", item_id=f"i{o}") for o in range(start, end)]
        return Chunk(records, end, start)

    await worker.chunks.handle_events(tp, chunk(4, 6), 1)  # the first after an assignment, not where it has to begin
    assert world.broker.steps == [("seek", 0, 0)]
    await worker.chunks.handle_events(tp, chunk(0, 3), 1)
    await worker.chunks.handle_events(tp, chunk(4, 6), 1)
    assert world.broker.steps[1:] == [("seek", 0, 3)]
    await worker.chunks.handle_events(tp, chunk(2, 6), 1)
    states = world.tracker.users[0].overlay.states
    assert (states.events[0], states.fence[0]) == (6, 5)

    world.broker.first = 9  # the broker dropped 6 to 8: waiting for them would be for ever
    await worker.chunks.handle_events(tp, chunk(9, 10), 1)
    assert (states.events[0], states.fence[0]) == (7, 9)


async def test_no_list_goes_out_while_the_membership_is_not_confirmed(world: World) -> None:
    worker = world.worker()
    world.events("ann")
    world.broker.member = False
    worker.wake()
    refreshing = asyncio.ensure_future(worker.refresh_forever())
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.broker.steps == []
    world.broker.member = True
    for _ in range(2000):
        if world.broker.steps:
            break
        await asyncio.sleep(0.001)
    refreshing.cancel()
    assert world.broker.steps[0] == ("send", world.settings.topic_recommendations, b"ann")


async def test_after_a_batch_of_lists_all_else_has_many_turns_before_the_next(world: World) -> None:
    worker = world.worker()
    world.tracker.apply(
        world.users,
        world.tracker.read(
            world.users,
            [
                event_record(i, f"u{i}", action="click", item_id="cup")
                for i in range(2 * world.settings.refresh_batch_users)
            ],
        ),
        0.0,
    )
    waiting: list[int] = []
    worker.wake()
    refreshing = asyncio.ensure_future(worker.refresh_forever())
    while not waiting or waiting[-1]:
        await asyncio.sleep(0)
        waiting.append(len(world.tracker.queue))
    refreshing.cancel()
    assert waiting.count(world.settings.refresh_batch_users) >= TURNS_AFTER_BATCH


async def test_small_batches_of_many_partitions_follow_each_other_as_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "TOGETHER_S", math.inf)
    worker, tracker = world.worker(), world.tracker
    partitions = world.settings.refresh_batch_users + 2
    for p in range(partitions):
        tracker.users[p] = users = UserPartition(p, world.stores[p])
        record = event_record(0, f"u{p}", action="click", item_id="cup")
        tracker.apply(users, tracker.read(users, [record]), 0.0)
    assert worker.refresh_some()
    assert len(tracker.queue) == 2
    assert not worker.refresh_some()
    assert len(tracker.queue) == 0


async def test_a_commit_without_changes_writes_nothing(world: World) -> None:
    await world.committer.commit()
    assert world.broker.steps == [("flush",)]


async def test_item_records_that_wait_keep_their_offsets_back_until_they_are_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.partitions.items.RECORDS_PER_S", 0)
    stores = world.directory.stores("items")
    items = world.tracker.items[0] = ItemPartition(stores[0], 10)
    source = TopicPartition(world.settings.topic_item_deltas, 0)
    for offset in range(2):
        items.apply([Record(offset, b"cup", pack_delta(ItemDelta(0, offset, count=1)))])
        items.next_offset = offset + 1
        await world.committer.commit(whole=False)
    durable = [step[1][source] for step in world.broker.steps if step[0] == "durable" and source in step[1]]
    assert durable == [1], "the first is written at once, the second waits"
    await world.committer.commit()
    assert world.broker.steps[-2:] == [("durable", {source: 2}), ("commit",)]
    assert unpack_record(dict(stores[0].items())[b"cup"]).count == 2
    stores.close_all()


async def test_a_stop_waits_for_the_commit_that_is_being_made_and_lets_no_usual_one_begin(world: World) -> None:
    # Faust cancels what runs in it when it stops. A commit that is cancelled has failed, and with it the worker.
    world.events("ann")
    world.tracker.queue.next_batch(9)
    flush, begun, go_on = world.broker.flush, asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go_on.wait()
        await flush()

    world.broker.flush = slow  # type: ignore[method-assign]
    worker = world.worker()
    usual = asyncio.ensure_future(worker.commit_forever())
    await asyncio.wait_for(begun.wait(), 30)
    stopping = asyncio.ensure_future(worker.end_usual_commits())
    await asyncio.sleep(0)
    assert not stopping.done()
    go_on.set()
    await asyncio.wait_for(stopping, 30)
    await asyncio.wait_for(usual, 30)  # it ends by itself: there is nothing to cancel
    assert world.broker.steps.count(("commit",)) == 1
    assert world.committer.failure is None

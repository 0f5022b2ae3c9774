"""One worker: the tracker, the commit and the producer, driven by what the agents hand in. Faust's side is app.py."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from stream.errors import InvariantError
from stream.kafka.engine.transport import Chunk
from stream.kafka.producer import RecordProducer
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.refresh.refresher import is_published
from stream.settings import Settings
from stream.storage.rocks import PartitionStores
from stream.wire.records import encode, encode_sparse
from stream.worker.commit import Committer
from stream.worker.intake import Intake
from stream.worker.tracker import Tracker

logger = logging.getLogger(__name__)

BACK_PRESSURE_POLL_S = 0.02
DELTAS_AT_ONCE = 400
"""About 2 ms of work: an event passes some ten turns of the loop on its way to a list, and waits for all else in each."""
REKEYED_HEADER = "penchant-rekeyed"


class Source(Protocol):
    """What the worker asks of the consumer; see `transport.ChunkConsumer`."""

    def start_offset(self, tp: TopicPartition) -> int | None: ...

    async def first_offset(self, tp: TopicPartition) -> int: ...

    async def seek(self, tp: TopicPartition, offset: int) -> None: ...

    def is_member(self) -> bool: ...


class Worker:
    """Handles chunks, refreshes users, commits. All methods run on the event loop."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        tracker: Tracker,
        committer: Committer,
        producer: RecordProducer,
        user_stores: PartitionStores,
        item_stores: PartitionStores,
        consumer: Callable[[], Source],
        generation: Callable[[], int],
        replicas_caught_up: Callable[[], bool],
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._tracker, self._committer, self._producer = tracker, committer, producer
        self._user_stores, self._item_stores = user_stores, item_stores
        self._consumer, self._generation, self._caught_up = consumer, generation, replicas_caught_up
        self._due = asyncio.Event()
        self._revoked_generation = -1

    # --- chunks ---

    async def handle_events(self, tp: TopicPartition, chunk: Chunk, generation: int) -> None:
        """A chunk of the events topic: waits until there is room for it, then applies it whole."""
        await self._wait_for_room()
        users = self._tracker.users.get(tp.partition)
        if not await self._continues(tp, chunk, generation, None if users is None else users.next_offset):
            return
        if users is None:
            users = UserPartition(tp.partition, self._user_stores[tp.partition])
            self._tracker.users[tp.partition] = users
        self._note_chunk(tp, chunk, users.next_offset)
        self._apply(users, chunk)

    def _apply(self, users: UserPartition, chunk: Chunk) -> None:
        if chunk.records:
            try:
                intake = self._tracker.read(chunk.records)
                self._send_elsewhere(intake)
                if intake.keys:
                    self._tracker.apply(users, intake, time.monotonic())
                    self._due.set()
            except Exception:
                # It takes Faust a moment to stop; a commit in that moment would keep half a chunk.
                self._committer.abandon()
                raise
        users.next_offset = max(chunk.next_offset, users.next_offset or 0)

    async def _continues(self, tp: TopicPartition, chunk: Chunk, generation: int, expected: int | None) -> bool:
        """Whether the chunk is this worker's to apply, and begins where the last one ended or before.

        Chunks get lost between the fetch and an agent while Faust stops and resumes the flow. Applied behind such a hole, a
        chunk would move its users' fences past events that were never seen; so the hole is read again first.
        """
        consumer = self._consumer()
        deadline = time.monotonic() + self._settings.delivery_timeout_s
        while expected is None and not self._is_revoked(generation):
            expected = consumer.start_offset(tp)
            if expected is None:
                if time.monotonic() > deadline:
                    raise InvariantError(f"the committed offset of {tp.topic} partition {tp.partition} is not known")
                await asyncio.sleep(BACK_PRESSURE_POLL_S)
        if expected is None or self._is_revoked(generation):
            return False  # its owner reads the chunk
        if chunk.start_offset <= expected:
            return True
        first = await consumer.first_offset(tp)
        if self._is_revoked(generation):
            return False
        if chunk.start_offset <= first:
            return True  # what is missing is the broker's loss, and counted as such
        self._metrics.input.rewinds.inc()
        await consumer.seek(tp, expected)
        return False

    def _is_revoked(self, generation: int) -> bool:
        """Whether partitions of this generation have been given up, or are just being given up."""
        return generation != self._generation() or generation <= self._revoked_generation

    async def handle_deltas(self, tp: TopicPartition, chunk: Chunk, generation: int) -> None:
        """A chunk of the item-deltas topic."""
        items = self._tracker.items.get(tp.partition)
        if not await self._continues(tp, chunk, generation, None if items is None else items.next_offset):
            return
        if items is None:
            items = self._tracker.items[tp.partition] = ItemPartition(
                self._item_stores[tp.partition], self._settings.neighbours_max
            )
        # Nothing is missed here that `_note_chunk` could count: between two transactions lie their markers.
        self._metrics.input.chunk_records.labels(tp.topic).observe(len(chunk.records))
        # In slices, so that refreshes are not kept waiting: a commit between two is harmless, each item has its own fences
        # and the offset moves only after the last.
        for start in range(0, len(chunk.records), DELTAS_AT_ONCE):
            with self._metrics.work.stage_seconds.labels("items").time():
                try:
                    items.apply(chunk.records[start : start + DELTAS_AT_ONCE])
                except ValueError as error:
                    raise InvariantError(f"{tp.topic} partition {tp.partition}: {error}") from error
            await asyncio.sleep(0)
            if self._is_revoked(generation):
                return
        items.next_offset = max(chunk.next_offset, items.next_offset or 0)

    async def _wait_for_room(self) -> None:
        """Back-pressure: no further chunk is applied, so Faust stops fetching, until there is room for it."""
        deadline = time.monotonic() + self._settings.delivery_timeout_s
        # At a start: what events say about items is sent by item id, and state names items by hash. The ids are in the
        # catalogue and in the item statistics.
        while not self._caught_up():
            if time.monotonic() > deadline:
                raise InvariantError(
                    f"catalogue and item statistics were not read within {self._settings.delivery_timeout_s:g} s"
                )
            await asyncio.sleep(BACK_PRESSURE_POLL_S)
        while self._overlay_bytes() > self._settings.overlay_max_bytes:
            await self._committer.commit()
            await asyncio.sleep(0)
        while len(self._tracker.queue) >= self._settings.refresh_queue_max_users:
            if time.monotonic() > deadline:
                raise InvariantError(
                    f"no user was refreshed for {self._settings.delivery_timeout_s:g} s with "
                    f"{len(self._tracker.queue)} waiting"
                )
            await asyncio.sleep(BACK_PRESSURE_POLL_S)

    def _note_chunk(self, tp: TopicPartition, chunk: Chunk, expected: int | None) -> None:
        self._metrics.input.chunk_records.labels(tp.topic).observe(len(chunk.records))
        if chunk.records and expected is not None and chunk.records[0].offset > expected:
            missing = chunk.records[0].offset - expected
            self._metrics.input.lost.inc(missing)
            logger.warning(
                "%s partition %d: %d offsets are missing before %d: dropped by the broker before they were read, or "
                "control records",
                tp.topic,
                tp.partition,
                missing,
                chunk.records[0].offset,
            )

    def _send_elsewhere(self, intake: Intake) -> None:
        """Bad records to the dead-letter topic, keyless ones back to the events topic under their user's key."""
        for record, (reason, detail) in intake.refused:
            headers = {
                "reason": reason,
                "detail": detail,
                "topic": record.topic,
                "partition": str(record.partition),
                "offset": str(record.offset),
                "timestamp": str(record.timestamp),
            }
            self._producer.send(
                self._settings.topic_dead_letter,
                record.key,
                record.value,
                headers=[(name, value.encode(errors="replace")) for name, value in headers.items()],
            )
            self._metrics.input.rejected.labels(reason).inc()
        for record, event in intake.keyless:
            origin = f"{record.partition}-{record.offset}"
            # Time and id are fixed here, so that producing it twice (a crash before the commit) changes nothing.
            keyed = msgspec.structs.replace(
                event,
                event_time=record.timestamp if event.event_time is None else event.event_time,
                event_id=event.event_id or f"{REKEYED_HEADER}-{origin}",
            )
            self._producer.send(
                self._settings.topic_events,
                event.user_id.encode(),
                encode_sparse(keyed),
                headers=[(REKEYED_HEADER, origin.encode())],
            )
            self._metrics.input.rekeyed.inc()

    # --- refresh ---

    async def refresh_forever(self) -> None:
        """Publish fresh lists, the longest-waiting users first; yields to ingestion after every batch."""
        while True:
            await self._due.wait()
            self._due.clear()
            due = self._caught_up()
            while due:
                # A list from a worker that has lost its partitions, and does not know it yet, would replace a newer one.
                if self._consumer().is_member():
                    due = self.refresh_once()
                    await asyncio.sleep(0)
                else:
                    await asyncio.sleep(BACK_PRESSURE_POLL_S)

    def wake(self) -> None:
        """Something became due that no event announced."""
        self._due.set()

    def refresh_once(self) -> bool:
        """Rank and publish one batch; False when nobody is due."""
        batch = self._tracker.queue.next_batch(self._settings.refresh_batch_users)
        if batch is None:
            return False
        now_ms = time.time_ns() // 1_000_000
        published = self._tracker.refresh(batch.partition, batch.due, now_ms, time.monotonic())
        for due, each in zip(batch.due, published, strict=True):
            if not is_published(each, due):
                continue
            key, recommendation, reasons = due.key, each.recommendation, each.attributions
            self._producer.send(self._settings.topic_recommendations, key, encode(recommendation))
            for reason in reasons:
                self._producer.send(self._settings.topic_attributions, key, encode(reason))
            self._metrics.output.recommendations.labels(recommendation.trigger).inc()
            self._metrics.output.attributions.inc(len(reasons))
            if due.first_offset is not None:
                self._metrics.output.freshness_seconds.observe(max(0.0, time.time() - due.oldest_timestamp_ms / 1000))
        return True

    # --- commit ---

    async def commit_forever(self) -> None:
        """A commit every `commit_interval_s`, counted from the end of the last one."""
        while True:
            await asyncio.sleep(self._settings.commit_interval_s)
            await self._committer.commit()

    async def revoke(self, revoked: frozenset[TopicPartition]) -> None:
        """Partitions are being taken away (or the worker stops): make their state durable, then forget it."""
        self._revoked_generation = self._generation()  # chunks in agents' hands are applied no more
        await self._committer.commit()
        self._metrics.worker.rebalances.inc()
        self._tracker.forget(
            [tp.partition for tp in revoked if tp.topic == self._settings.topic_events],
            [tp.partition for tp in revoked if tp.topic == self._settings.topic_item_deltas],
        )

    # --- gauges ---

    async def measure_forever(self, lag: Callable[[], dict[TopicPartition, int]], interval_s: float = 1.0) -> None:
        """Keep the gauges current and let the producer report its errors."""
        while True:
            self._producer.serve()
            self._tracker.requeue_aged(time.monotonic())
            self._tracker.serving.weigh_strategies()
            self.wake()
            self._measure()
            self._measure_lag(lag())
            await asyncio.sleep(interval_s)

    def _measure(self) -> None:
        metrics, tracker, now = self._metrics, self._tracker, time.monotonic()
        metrics.work.dirty_users.set(sum(users.overlay.n_dirty for users in tracker.users.values()))
        metrics.work.overlay_bytes.set(self._overlay_bytes())
        metrics.output.refresh_queue.set(len(tracker.queue))
        since = tracker.queue.oldest_waiting_since()
        metrics.output.refresh_age.set(0 if since is None else now - since)
        metrics.work.commit_age.set(now - self._committer.last_completed_s)
        metrics.output.producer_queue.set(self._producer.queued)
        for table, stores in (("users", self._user_stores), ("items", self._item_stores)):
            metrics.work.state_bytes.labels(table).set(sum(stores[p].size_bytes() for p in stores))
            metrics.work.state_keys.labels(table).set(sum(stores[p].key_count() for p in stores))

    def _measure_lag(self, lag: dict[TopicPartition, int]) -> None:
        self._metrics.input.lag.clear()  # else partitions that went would keep their last value
        for tp, records in lag.items():
            self._metrics.input.lag.labels(tp.topic, tp.partition).set(records)
        self._metrics.worker.partitions.set(sum(tp.topic == self._settings.topic_events for tp in lag))

    def _overlay_bytes(self) -> int:
        return sum(users.nbytes for users in self._tracker.users.values())

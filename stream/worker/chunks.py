"""Chunks of events and item deltas: may this worker apply one, is there room, is it behind a hole? Then it is applied."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stream.errors import InvariantError
from stream.kafka.engine.fetching import Chunk
from stream.kafka.types import TopicPartition
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.wire.decode import UNREADABLE, Rejected
from stream.wire.records import encode_sparse
from stream.wire.requests import PrivacyRequest
from stream.worker.foreign_keys import REKEYED_HEADER, ForeignKeys
from stream.worker.intake import Intake
from stream.worker.parts import WorkerParts
from stream.worker.quantum import Quantum
from stream.worker.requests import RequestHandler
from stream.worker.which_log import Verdict

logger = logging.getLogger(__name__)

BACK_PRESSURE_POLL_S = 0.02
REQUESTS_AT_ONCE = 50
"""Of people, about a millisecond each, before all else has its turn."""

DELTAS_POLL_S = 0.005
"""How long deltas wait for their share of the time while lists are made."""


class ChunkHandler:
    """Handles one chunk at a time of each partition. All methods run on the event loop."""

    def __init__(self, parts: WorkerParts, on_applied: Callable[[], None]) -> None:
        """`on_applied` is called when users may be due for a fresh list."""
        self._parts, self._settings, self._metrics = parts, parts.settings, parts.metrics
        self._tracker, self._committer = parts.tracker, parts.committer
        self._on_applied = on_applied
        self._revoked_generation = -1
        self._opening = asyncio.Lock()
        self._foreign_keys = ForeignKeys(parts.settings, parts.metrics)
        self._requests = RequestHandler(parts)
        self._quantum = Quantum(time.monotonic())

    def revoked(self) -> None:
        """Chunks of the present generation are applied no more: its partitions are being given up."""
        self._revoked_generation = self._parts.membership.generation

    async def handle_events(self, tp: TopicPartition, chunk: Chunk, generation: int) -> None:
        """A chunk of the events topic: waits until there is room for it, then applies it whole."""
        await self._wait_for_room()
        users = await self.opened(tp)
        if not await self._continues(tp, chunk, generation, None if users is None else users.next_offset):
            return
        users = users or await self.opened(tp)
        if users is None or self._is_revoked(generation):
            return  # its owner reads the chunk
        self._note_chunk(tp, chunk, users.next_offset)
        left = self._apply(users, chunk)
        while (
            left is not None
        ):  # of people's requests so many are carried out at a time; between them all else has its turn
            await asyncio.sleep(0)
            if self._is_revoked(generation):
                return  # the next owner reads the rest
            left = self._apply(users, left)

    async def opened(self, tp: TopicPartition) -> UserPartition | None:
        """A partition of the events topic, opened if it was not; None while it is not this worker's, or not recovered.

        Raises:
            TopicsError: its states are of another log than the topic is now.
        """
        if (known := self._tracker.users.get(tp.partition)) is not None:
            return known
        async with self._opening:
            users, membership = self._tracker.users.get(tp.partition), self._parts.membership
            generation = membership.generation
            # Where reading begins is settled when recovery has ended.
            if users is not None or self._is_revoked(generation) or membership.consumer.start_offset(tp) is None:
                return users
            users = self._tracker.new_users(tp.partition, self._parts.user_stores[tp.partition])
            if self._parts.which_log is not None:
                committed = membership.consumer.committed_offset(tp)
                owned = [each.partition for each in membership.consumer.owned((tp.topic,))]
                verdict = await self._parts.which_log.check(tp.partition, users.store, committed, generation, owned)
                if self._is_revoked(generation):
                    return None
                users.log, users.is_new_log = verdict.mark, verdict.is_anew
                await self._begin(tp, verdict)
                if self._is_revoked(generation):
                    return None
            self._tracker.open_users(users)
            return users

    async def _note_dropped_deltas(self, tp: TopicPartition) -> None:
        consumer = self._parts.membership.consumer
        committed = consumer.committed_offset(tp)
        if committed is not None:
            self._note_dropped(tp, committed, await consumer.first_offset(tp) - committed)

    def _note_dropped(self, tp: TopicPartition, reached: int, dropped: int) -> None:
        """Before this worker had the partition: what comes while it reads is `_note_chunk`'s."""
        if dropped > 0:
            self._metrics.input.lost.inc(dropped)
            logger.warning(
                "%s partition %d: %d records were dropped by the broker before they were read, offsets %d to %d. "
                "Fix: keep records longer (retention.ms), or have more workers",
                *(tp.topic, tp.partition, dropped, reached, reached + dropped - 1),
            )

    async def _begin(self, tp: TopicPartition, verdict: Verdict) -> None:
        if verdict.is_anew:
            logger.warning(
                "%s partition %d is another log than the one before, as was meant: read from its beginning, offset %d. "
                "Nothing to do",
                *(tp.topic, tp.partition, verdict.mark.reached),
            )
            await self._parts.membership.consumer.begin_anew(tp, verdict.mark.reached)
        self._note_dropped(tp, verdict.mark.reached, verdict.lost)

    def _apply(self, users: UserPartition, chunk: Chunk) -> Chunk | None:
        """Apply a chunk; what is left of it for later."""
        left: Sequence[Any] = ()
        if chunk.records:
            try:
                left = self._apply_records(users, chunk.records)
            except Exception:
                # It takes Faust a moment to stop; a commit in that moment would keep half a chunk.
                self._committer.abandon()
                raise
        reached = left[0].offset if left else chunk.next_offset
        users.next_offset = max(reached, users.next_offset or 0)
        return chunk._replace(records=list(left), start_offset=reached) if left else None

    def _apply_records(self, users: UserPartition, records: Sequence[Any]) -> Sequence[Any]:
        """Those that are left for later."""
        now_ns = time.time_ns()
        now_ms = now_ns // 1_000_000
        intake = self._tracker.read(users, records, now_ms)
        if intake.requests:
            return self._apply_between_requests(users, records, intake.requests, now_ms)
        intake = self._foreign_keys.moved(users, intake, records, now_ms)
        self._send_elsewhere(intake, users.base_offset)
        if intake.keys:
            self._tracker.apply(users, intake, time.monotonic(), now_ms)
            self._on_applied()
        if (traces := self._parts.traces) is not None:
            refused = {record.offset: why.reason for record, why in intake.refused}
            traces.applied(self._settings.topic_events, users.partition, records, refused, now_ns)
        return ()

    def _apply_between_requests(
        self, users: UserPartition, records: Sequence[Any], requests: Sequence[tuple[Any, PrivacyRequest]], now_ms: int
    ) -> Sequence[Any]:
        """What lies before a request is applied before it, and what lies behind it afterwards; what is left for later."""
        asked = {record.offset: request for record, request in requests[:REQUESTS_AT_ONCE]}
        until = requests[REQUESTS_AT_ONCE][0].offset if len(requests) > REQUESTS_AT_ONCE else None
        between: list[Any] = []
        left: Sequence[Any] = ()
        for at, record in enumerate(records):
            if record.offset == until:
                left = records[at:]
                break
            if (request := asked.get(record.offset)) is None:
                between.append(record)
                continue
            if between:
                self._apply_records(users, between)
                between = []
            self._requests.handle(users, record, request, now_ms)
        if between:
            self._apply_records(users, between)
        return left

    async def _continues(self, tp: TopicPartition, chunk: Chunk, generation: int, expected: int | None) -> bool:
        """Whether the chunk is this worker's to apply, and begins where the last one ended or before.

        Chunks get lost between the fetch and an agent while Faust stops and resumes the flow. Applied behind such a hole, a
        chunk would move its users' fences past events that were never seen; so the hole is read again first.
        """
        consumer = self._parts.membership.consumer
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
        return generation != self._parts.membership.generation or generation <= self._revoked_generation

    async def handle_deltas(self, tp: TopicPartition, chunk: Chunk, generation: int) -> None:
        """A chunk of the item-deltas topic."""
        items = self._tracker.items.get(tp.partition)
        if not await self._continues(tp, chunk, generation, None if items is None else items.next_offset):
            return
        if items is None:
            await self._note_dropped_deltas(tp)
            items = self._tracker.items[tp.partition] = ItemPartition(
                self._parts.item_stores[tp.partition], self._settings.neighbours_max
            )
        # Nothing is missed here that `_note_chunk` could count: between two transactions lie their markers.
        self._metrics.input.chunk_records.labels(tp.topic).observe(len(chunk.records))
        # In slices, so that refreshes are not kept waiting: a commit between two is harmless, each item has its own fences
        # and the offset moves only after the last.
        start, behind = 0, (self._parts.membership.consumer.log_end(tp) or 0) - chunk.start_offset
        while start < len(chunk.records):
            room = await self._room_for_records(items)
            if self._is_revoked(generation):
                return
            began = time.monotonic()
            n = self._quantum.deltas(began, behind, events_wait=self._tracker.queue.has_events)
            if n == 0:
                await asyncio.sleep(DELTAS_POLL_S)
                continue
            part = chunk.records[start : start + min(n, room)]
            with self._metrics.work.stage_seconds.labels("items").time():
                refused = items.apply(part)
            for record, why in refused:  # one item goes without what it would have added
                self._parts.dead_letters.refused(record, Rejected(UNREADABLE, why))
            self._quantum.took(len(part), time.monotonic() - began)
            start += len(part)
            await asyncio.sleep(0)
            if self._is_revoked(generation):
                return
        items.next_offset = max(chunk.next_offset, items.next_offset or 0)

    async def _room_for_records(self, items: ItemPartition) -> int:
        """For how many more records of items there is room; a commit makes some where there is none."""
        most = self._settings.item_records_max_bytes
        while (used := sum(each.nbytes for each in self._tracker.items.values())) >= most:
            await self._committer.commit()
            await asyncio.sleep(0)
        return max(1, (most - used) // items.row_bytes)

    async def _wait_for_room(self) -> None:
        """Back-pressure: no further chunk is applied, so Faust stops fetching, until there is room for it."""
        deadline = time.monotonic() + self._settings.delivery_timeout_s
        # At a start: what events say about items is sent by item id, and state names items by hash. The ids are in the
        # catalogue and in the item statistics.
        while not self._parts.replicas_caught_up():  # noqa: ASYNC110  (it happens once, at a start)
            await asyncio.sleep(BACK_PRESSURE_POLL_S)
        while self._tracker.nbytes > self._settings.overlay_max_bytes:
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
                "control records. Fix: if it comes often, keep records longer (retention.ms)",
                tp.topic,
                tp.partition,
                missing,
                chunk.records[0].offset,
            )

    def _send_elsewhere(self, intake: Intake, base_offset: int) -> None:
        """Bad records to the dead-letter topic; keyless ones, and those of other partitions, back to the events topic under
        their user's key."""
        for record, why in intake.refused:
            self._parts.dead_letters.refused(record, why)
        if self._settings.shadow is not None:
            return  # the workers that serve send them
        for record, event in intake.keyless:
            origin = f"{record.partition}-{base_offset + record.offset}"
            # Time and id are fixed here, so that producing it twice (a crash before the commit) changes nothing.
            keyed = msgspec.structs.replace(
                event,
                event_time=record.timestamp if event.event_time is None else event.event_time,
                event_id=event.event_id or f"{REKEYED_HEADER}-{origin}",
            )
            self._parts.producer.send(
                self._settings.topic_events,
                event.user_id.encode(),
                encode_sparse(keyed),
                headers=[(REKEYED_HEADER, origin.encode())],
            )
            self._metrics.input.rekeyed.inc()

"""Kafka in whole-partition chunks: one Faust event carries everything that one fetch returned for one partition.

Plain Faust costs about 400 us of bookkeeping per record; carried in chunks the same bookkeeping is paid once per several
thousand records, and rebalancing, tables, standbys and recovery go on working. What upstream does per record, and what
therefore has to be different here, is said at each override. Read against faust-streaming 0.15.3 and aiokafka 0.14.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import aiokafka.client
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import ConsumerRecord
from faust.exceptions import ConsumerNotStarted
from faust.serializers.schemas import Schema
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.queues import FlowControlEvent

logger = logging.getLogger(__name__)

CHUNK_SCHEME = "chunk"
"""`broker="chunk://host:port"` selects this transport."""

# aiokafka asks for the topics it reads as if it wished them made where they are missing, and has no setting for it.
aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)

TRANSPORTS.aliases[CHUNK_SCHEME] = f"{__name__}:ChunkTransport"


class Chunk(NamedTuple):
    """Consecutive records of one partition."""

    records: list[ConsumerRecord]
    """In offset order; empty where the fetch held only control records (transaction markers)."""
    next_offset: int
    """Offset to read next; beyond the last record's where control records follow it."""
    start_offset: int
    """Where the fetch began: the log has no other records between it and `next_offset`."""


BUFFER_POLL_S = 0.02
CHUNKS_PER_BUFFER = 8
"""A fetch returns at most this part of the buffer. Faust keeps hold of up to five chunks of changelog while it waits for
more, so the buffer must be larger than those, or nothing would be fetched again."""


class _Budget:
    """Bytes that one fetch may still return."""

    left = 0


class _Prefetched(OrderedDict[Any, Any]):
    """aiokafka's records by partition, in which a look at a partition's records ends when the budget is used up.

    aiokafka bounds what it holds in bytes as they were sent. Handed out it is decompressed, and bounded by count only: 5,000
    records of a megabyte each would be one chunk.
    """

    def __init__(self, records: Mapping[Any, Any], budget: _Budget) -> None:
        super().__init__()
        self._budget = budget
        for tp, result in records.items():
            self[tp] = result

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult:
            result.getall = partial(_take, result, self._budget)
        super().__setitem__(tp, result)


def _take(result: Any, budget: _Budget, max_records: int | None = None) -> list[ConsumerRecord]:
    """`FetchResult.getall`, within the budget too: the record that exceeds it is the last."""
    taken: list[ConsumerRecord] = []
    if budget.left <= 0 or not result.check_assignment(result._topic_partition) or not result.has_more():
        return taken
    for record in result._partition_records:
        taken.append(record)
        budget.left -= _size(record)
        if budget.left <= 0 or (max_records is not None and len(taken) >= max_records):
            result._update_position()
            break
    else:
        result._update_position()
        result._partition_records = None
    return taken


def _size(record: Any) -> int:
    return len(record.key or b"") + len(record.value or b"")


RevokeHook = Callable[[frozenset[TP]], Awaitable[None]]


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Fetches; runs in Faust's consumer thread."""

    def _create_worker_consumer(self, transport: ChunkTransport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # The driver hard-codes 1,500 ms, which is added to the freshness of every event that finds the broker idle.
        consumer._fetch_max_wait_ms = transport.fetch_max_wait_ms
        consumer._fetch_max_bytes = transport.fetch_max_bytes
        consumer._client_rack = transport.client_rack
        # Faust asks for this only together with its own transactions; ours are in `writers`.
        consumer._isolation_level = "read_committed"
        self._chunk_ends: dict[TP, int] = {}
        self._sought: dict[TP, int] = {}
        self._chunk_max_bytes = transport.fetch_buffer_max_bytes // CHUNKS_PER_BUFFER
        self._budget = _Budget()
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._consumer._coordinator
        beat = coordinator._do_heartbeat

        async def note_heartbeat() -> bool:
            asked = time.monotonic()
            is_member = bool(await beat())
            if is_member:
                self.consumer.note_member(asked)
            return is_member

        coordinator._do_heartbeat = note_heartbeat
        complete = coordinator._on_join_complete

        async def complete_alive(*assignment: Any) -> None:
            beating = asyncio.ensure_future(_beat_forever(coordinator))
            try:
                await complete(*assignment)
            finally:
                beating.cancel()

        # aiokafka begins to beat when the callback of the assignment has returned. Claiming the partitions is done there, and
        # takes longer than a session where they are many; a worker that is thrown out meanwhile begins again, for ever.
        coordinator._on_join_complete = complete_alive

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, list[Chunk]]:
        if type(consumer._fetcher._records) is not _Prefetched:
            consumer._fetcher._records = _Prefetched(consumer._fetcher._records, self._budget)
        self._budget.left = self._chunk_max_bytes
        assignment = consumer._subscription.subscription.assignment
        before = _positions(assignment, active_partitions)
        self._sought.clear()
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # A seek while this waited: reading began anew there. If what lies there is aborted or a marker, the first record is
        # behind it, and looks like one behind a hole; its agent would seek again, into the next wait, for ever.
        before |= self._sought
        assignment = consumer._subscription.subscription.assignment
        chunks = {
            TP(*tp): [
                Chunk(
                    records,
                    assignment.state_value(tp).position,
                    min(records[0].offset, before.get(TP(*tp), records[0].offset)),
                )
            ]
            for tp, records in fetched.items()
            if assignment is not None and assignment.state_value(tp) is not None
        }
        # aiokafka passes over control records in silence. Recovery waits for the log's end offset, which may be one of
        # them, so an advanced position is handed on as a chunk without records.
        for tp, position in _positions(assignment, active_partitions).items():
            if tp in chunks:
                self._chunk_ends[tp] = chunks[tp][0].next_offset
            else:
                # From where the last chunk ended, or from further back if there was a seek, or if this is the first fetch:
                # a log may begin with an aborted transaction, and the first fetch of it finds nothing else.
                begin = before.get(tp, position)
                if tp not in self._sought:
                    begin = min(begin, self._chunk_ends.get(tp, begin))
                if position > begin:
                    chunks[tp] = [Chunk([], position, begin)]
                self._chunk_ends[tp] = position
        return chunks

    def seek(self, partition: TP, offset: int) -> None:
        """Go on reading at an offset; runs in the consumer's thread, so between two steps of a fetch."""
        super().seek(partition, offset)
        self._sought[TP(*partition)] = offset


async def _beat_forever(coordinator: Any) -> None:
    while True:
        await asyncio.sleep(coordinator._heartbeat_interval_ms / 1000)
        if not await coordinator._do_heartbeat():
            return  # thrown out already, or no broker: what follows the assignment finds out


class KeepingFlowControl(FlowControlEvent):  # type: ignore[misc]
    """Flow control that keeps what is in the streams' queues when the flow is resumed.

    Upstream clears them. But at the end of a recovery the partitions are already being read again, so a chunk that was
    fetched between the seek to the committed offset and the resumption would be gone, and nobody would read it again.
    What a rebalance makes stale is cleared when partitions are revoked.
    """

    def resume(self) -> None:
        self._suspend.clear()
        self._resume.set()


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Commits exactly what was declared durable by `set_durable`, nothing that was merely processed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._durable: dict[TP, int] = {}
        self._start: dict[TP, int] = {}
        self._member_at = -math.inf
        self._fetched: list[tuple[weakref.ref[ConsumerMessage], int]] = []
        self.on_revoke: RevokeHook | None = None
        self.joining = True
        """Whether the group has not (yet, or again) said which partitions are this worker's."""
        super().__init__(*args, **kwargs)

    def note_member(self, at: float) -> None:
        """The group's coordinator has confirmed the membership; it was asked at monotonic second `at`."""
        self._member_at = max(self._member_at, at)

    def is_member(self) -> bool:
        """Whether the partitions are certainly still this worker's: the last confirmation is younger than the session.

        False for a worker that was stopped for longer and has just woken up, before it can have heard of it.
        """
        return self.unconfirmed_s() < float(self.app.conf.broker_session_timeout)

    def unconfirmed_s(self) -> float:
        """How long ago the membership was last confirmed; infinite before the first time."""
        return time.monotonic() - self._member_at

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.note_member(time.monotonic())
        # Upstream pauses them a little later. What was fetched until then would be dropped, and have to be read again.
        self._paused_partitions.update(assigned)
        stores = [table.data for table in self.app.tables.values()]
        for store in stores:
            store.begin_claims(assigned)
        try:
            await super().on_partitions_assigned(assigned, generation_id)
        finally:  # a claim that came after the next assignment could shut out the next owner
            for store in stores:
                await store.claimed()
        self.joining = False

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def set_durable(self, offsets: Mapping[TP, int]) -> None:
        """Everything before these offsets is durable; the next commit commits them (and only them)."""
        self._durable.update(offsets)

    def owned(self, topics: Collection[str]) -> list[TP]:
        """Partitions of `topics` assigned to this worker; none while it has not joined the group."""
        try:
            assignment = self.assignment()
        except ConsumerNotStarted:
            return []
        return sorted(TP(*tp) for tp in assignment if tp.topic in topics)

    def group_error(self) -> BaseException | None:
        """Why aiokafka has given up on the group.

        It keeps the error for the next call of its `getmany` and does nothing until then; but Faust fetches past that. So an
        error that may pass is taken here and now, after which aiokafka tries again.
        """
        coordinator = getattr(self._thread._consumer, "_coordinator", None)
        task = getattr(coordinator, "_coordination_task", None)
        if coordinator is None or task is None:
            return None
        if task.done():
            return None if task.cancelled() else task.exception()
        error: KafkaError | None = coordinator._pending_exception
        if error is None or not error.retriable:
            return error
        logger.warning("the group could not be joined: %s (tried again)", error)
        self._thread.thread_loop.call_soon_threadsafe(_take_error, coordinator)
        return None

    def log_end(self, tp: TP) -> int | None:
        """End of the log as the last fetch saw it; None before the first, or if the partition has just been taken away."""
        try:
            end: int | None = self.highwater(tp)
        except AssertionError:  # aiokafka's way of saying so: the consumer's thread may revoke at any moment
            return None
        return end

    def committed_offset(self, tp: TP) -> int | None:
        """Committed offset as last seen; None where nothing is committed."""
        offset: int | None = self._committed_offset.get(tp)
        return offset

    def start_offset(self, tp: TP) -> int | None:
        """Where reading a partition began when it was assigned to this worker; None as long as that is not settled."""
        return self._start.get(tp)

    async def first_offset(self, tp: TP) -> int:
        """Offset of the oldest record that the broker still has."""
        offsets: Mapping[TP, int] = await self.earliest_offsets(tp)
        return offsets[tp]

    async def perform_seek(self) -> None:
        """To the committed offsets, and to the oldest record where nothing is committed: upstream leaves such a partition
        where it is, although what was read of it may have been dropped."""
        # Upstream seeks also for a fetch that ended after the flow was stopped, so at any time of a rebalance. Where reading
        # begins is not settled then: a partition opened before its recovery would keep states that its changelog is ahead of.
        settles, generation = bool(self.flow_active), int(self.app.consumer_generation_id)
        await super().perform_seek()
        # All at once, before anything else is awaited: partitions are being read already, and each chunk that arrives moves
        # `_read_offset` to its end. Taken for where reading begins that would hide what was dropped before the chunk.
        changelogs, assignment = self.app.tables.changelog_topics, self.assignment()
        begins = {tp: at for tp, at in self._read_offset.items() if tp in assignment and tp.topic not in changelogs}

        def is_settled() -> bool:  # a rebalance may have begun meanwhile, and have forgotten where reading began
            return settles and self.flow_active and generation == int(self.app.consumer_generation_id)

        if not is_settled():
            return
        self._start.update({tp: at for tp, at in begins.items() if at is not None})
        for tp in [tp for tp, at in begins.items() if at is None]:
            first = await self.first_offset(tp)
            if not is_settled():
                return
            await self.seek(tp, first)
            if not is_settled():
                return
            self._start[tp] = first

    async def begin_anew(self, tp: TP, offset: int) -> None:
        """Read a partition from here on, and commit that: what was committed is of another log."""
        self._durable.pop(tp, None)
        self._committed_offset[tp] = None
        if self._start.get(tp) != offset:
            await self.seek(tp, offset)
        self._start[tp] = offset
        await self._commit({tp: offset})  # and not through `commit`, which never goes back, and never to 0

    async def _seek(self, partition: TP, offset: int) -> None:
        # Upstream seeks on the caller's thread, and so takes records away from under a fetch in the consumer's.
        await self._thread.call_thread(self._thread.seek, partition, offset)

    def unapplied_bytes(self) -> int:
        """Bytes of the records that were fetched and wait for their agent, or are in its hands."""
        waiting = [(ref, n) for ref, n in self._fetched if (message := ref()) is not None and not message.acked]
        self._fetched = waiting
        return sum(n for _, n in waiting)

    async def _wait_next_records(self, timeout: float) -> Any:
        # Where all partitions are paused upstream sleeps for a second, just when a recovery ends and they are about to go on.
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if not self._get_active_partitions():
            await asyncio.sleep(BUFFER_POLL_S)
            return (
                None,
                set(),
            )  # and not {}: where the flow has stopped meanwhile upstream would seek, for records that there are not
        return await super()._wait_next_records(timeout)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """Back-pressure by bytes: Faust's buffers are bounded in chunks, and a chunk may be of any size."""
        if self.unapplied_bytes() >= self.transport.fetch_buffer_max_bytes:
            await asyncio.sleep(BUFFER_POLL_S)
            return {}
        # A wait does not see what is resumed meanwhile, and aiokafka, which has records of that, fetches no more. Upstream
        # waits for a second, and that long partitions would lie idle when a recovery ends.
        return await super()._getmany(active_partitions, min(timeout, self.transport.fetch_max_wait_ms / 1000))

    def _to_message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        timestamp_ms = chunk.records[-1].timestamp if chunk.records else None
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            chunk.next_offset - 1,
            (timestamp_ms or 0) / 1000.0,
            0,
            None,
            None,
            chunk,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        self._fetched.append((weakref.ref(message), sum(map(_size, chunk.records))))
        return message

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Upstream keeps an interval per missing offset; a chunk's offset is its last, so all would be gaps."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._durable) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        # Acks say "an agent has seen it", also when the agent raised; they must not move the committed offset. They
        # are dropped here because upstream would keep them until they form a gapless run.
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self._durable.get(tp)

    async def on_partitions_revoked(self, revoked: Iterable[TP]) -> None:
        """Make state durable and commit *before* forgetting; upstream forgets first and so replays acked work."""
        self.joining = True
        revoked = frozenset(revoked)
        if self._active_partitions is not None:
            self._active_partitions.difference_update(revoked)
        self._paused_partitions.difference_update(revoked)
        await self._on_partitions_revoked(set(revoked))  # stops the flow, empties the stream buffers
        if self.on_revoke is not None:
            await self.on_revoke(revoked)
        await self.commit()
        for tp in revoked:
            for forgotten in (
                self._gap,
                self._acked,
                self._acked_index,
                self._read_offset,
                self._committed_offset,
                self._durable,
                self._start,
            ):
                forgotten.pop(tp, None)

    async def wait_empty(self) -> None:
        """Called at every rebalance and at shutdown, there *before* the tables close: the last moment to commit."""
        try:
            # Upstream waits for ever when an ack got lost (robinhood/faust#402); a chunk takes well under a second.
            await asyncio.wait_for(super().wait_empty(), timeout=self.app.conf.broker_session_timeout)
        except TimeoutError:
            logger.warning("some chunks were still in work when the flow stopped; they are read again")
        if self.on_revoke is not None:
            await self.on_revoke(frozenset(self._durable) | frozenset(self._start))  # those that nothing came of, too
        await self.commit()


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust transport whose messages are `Chunk`s."""

    Consumer = ChunkConsumer
    fetch_max_wait_ms = 100
    fetch_max_bytes = 16 << 20
    fetch_buffer_max_bytes = 128 << 20
    client_rack: str | None = None


class ChunkSchema(Schema):  # type: ignore[misc]
    """Hands a chunk on as it is; decoding is the agent's, because one bad record must not cost the others."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        plain = super().compile(app, **kwargs)
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            if type(message.value) is Chunk:
                return create_event(None, message.value, None, message)
            return await plain(message, propagate=propagate)

        return decode


def _take_error(coordinator: Any) -> None:
    consumed, coordinator._error_consumed_fut = coordinator._error_consumed_fut, None
    coordinator._pending_exception = None
    if consumed is not None and not consumed.done():
        consumed.set_result(None)


def _positions(assignment: Any, partitions: Iterable[TP]) -> dict[TP, int]:
    if assignment is None:
        return {}
    states = ((TP(*tp), assignment.state_value(tp)) for tp in partitions)
    return {tp: state.position for tp, state in states if state is not None and state.has_valid_position}

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
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import aiokafka.client
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from faust.exceptions import ConsumerNotStarted
from faust.serializers.schemas import Schema
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.queues import FlowControlEvent

from stream.kafka.engine.fetching import Chunk, ChunkConsumerThread, size_of

logger = logging.getLogger(__name__)

CHUNK_SCHEME = "chunk"
"""`broker="chunk://host:port"` selects this transport."""

# aiokafka asks for the topics it reads as if it wished them made where they are missing, and has no setting for it.
aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)

TRANSPORTS.aliases[CHUNK_SCHEME] = f"{__name__}:ChunkTransport"


BUFFER_POLL_S = 0.02

RevokeHook = Callable[[frozenset[TP]], Awaitable[None]]


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
        logger.warning(
            "the group could not be joined: %s (tried again). Fix: if it stays, see `penchant doctor`", error
        )
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
            # Not {}: where the flow has stopped meanwhile upstream would seek, for records that there are not.
            return None, set()
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
        self._fetched.append((weakref.ref(message), sum(map(size_of, chunk.records))))
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
            logger.warning("some chunks were still in work when the flow stopped; they are read again. Nothing to do")
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

"""Fetches: what aiokafka has read of a partition, as one chunk, bounded in bytes. Runs in Faust's consumer thread.

Read against faust-streaming 0.15.3 and aiokafka 0.14.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import FetchResult
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

CHUNKS_PER_BUFFER = 8
"""A fetch returns at most this part of the buffer. Faust keeps hold of up to five chunks of changelog while it waits for
more, so the buffer must be larger than those, or nothing would be fetched again."""


class Chunk(NamedTuple):
    """Consecutive records of one partition."""

    records: list[ConsumerRecord]
    """In offset order; empty where the fetch held only control records (transaction markers)."""
    next_offset: int
    """Offset to read next; beyond the last record's where control records follow it."""
    start_offset: int
    """Where the fetch began: the log has no other records between it and `next_offset`."""


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
        budget.left -= size_of(record)
        if budget.left <= 0 or (max_records is not None and len(taken) >= max_records):
            result._update_position()
            break
    else:
        result._update_position()
        result._partition_records = None
    return taken


def size_of(record: Any) -> int:
    """Bytes of key and value."""
    return len(record.key or b"") + len(record.value or b"")


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Fetches; runs in Faust's consumer thread."""

    def _create_worker_consumer(self, transport: Any) -> Any:
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
        # Faust's own set, which its thread changes when it pauses and resumes partitions. Copying it cannot be interrupted; a
        # walk through it can, and then raises, which with 256 partitions stopped a worker.
        active_partitions = active_partitions.copy()
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


def _positions(assignment: Any, partitions: Iterable[TP]) -> dict[TP, int]:
    if assignment is None:
        return {}
    states = ((TP(*tp), assignment.state_value(tp)) for tp in partitions)
    return {tp: state.position for tp, state in states if state is not None and state.has_valid_position}

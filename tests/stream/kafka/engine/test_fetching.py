"""Fetches: where they begin and end, in offsets and in bytes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka.engine.fetching import ChunkConsumerThread, _Budget, _Prefetched

EVENTS = TP("events", 0)


@pytest.mark.parametrize("n_records", [0, 2])
async def test_what_is_read_after_a_seek_into_a_waiting_fetch_begins_where_was_sought(
    monkeypatch: pytest.MonkeyPatch, n_records: int
) -> None:
    # Offsets 10 to 19 are an aborted transaction. Nothing of it comes, so the first record is 20, and it is behind no hole.
    tp = TP("t", 0)
    state = SimpleNamespace(position=50, has_valid_position=True)
    assignment = SimpleNamespace(state_value=lambda _: state)
    consumer: Any = SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)),
        _fetcher=SimpleNamespace(_records={}),
    )
    thread = object.__new__(ChunkConsumerThread)
    thread._chunk_ends, thread._sought, thread._chunk_max_bytes, thread._budget = {tp: 50}, {}, 100, _Budget()

    def seek(self: Any, partition: TP, offset: int) -> None:
        state.position = offset

    async def fetch(self: Any, *_: Any) -> dict[TP, list[Any]]:
        thread.seek(tp, 10)  # while this waits for records
        await asyncio.sleep(0)
        state.position = 20 + n_records
        records = [SimpleNamespace(key=b"", value=b"", offset=20 + n) for n in range(n_records)]
        return {tp: records} if records else {}

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "seek", seek)
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)

    (chunk,) = (await thread._fetch_records(consumer, {tp}))[tp]

    assert (chunk.start_offset, chunk.next_offset, len(chunk.records)) == (10, 20 + n_records, n_records)


async def test_partitions_may_be_paused_while_a_fetch_looks_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {TP("t", p) for p in range(3)}  # Faust's, and changed in another thread than the one that fetches

    def state_value(tp: TP) -> Any:
        shared.discard(tp)
        return SimpleNamespace(position=7, has_valid_position=True)

    consumer: Any = SimpleNamespace(
        _subscription=SimpleNamespace(
            subscription=SimpleNamespace(assignment=SimpleNamespace(state_value=state_value))
        ),
        _fetcher=SimpleNamespace(_records={}),
    )
    thread = object.__new__(ChunkConsumerThread)
    thread._chunk_ends, thread._sought, thread._chunk_max_bytes, thread._budget = {}, {}, 100, _Budget()

    async def fetch(*_: Any) -> dict[TP, list[Any]]:
        return {}

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    await thread._fetch_records(consumer, shared)
    assert len(thread._chunk_ends) == 3


def fetch_result(tp: TP, sizes: list[int], start: int = 0) -> Any:
    """What aiokafka holds of a partition: records of these sizes."""
    records = iter([SimpleNamespace(key=b"", value=bytes(size), offset=start + i) for i, size in enumerate(sizes)])

    class Records:
        next_fetch_offset = start

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            record = next(records)
            self.next_fetch_offset = record.offset + 1
            return record

    state = SimpleNamespace(paused=False, position=start)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    return FetchResult(tp, assignment=assignment, partition_records=Records(), backoff=0)


def test_a_fetch_ends_where_its_bytes_are_used_up_and_the_next_goes_on_there() -> None:
    budget, other = _Budget(), TP("events", 1)
    held = _Prefetched({EVENTS: fetch_result(EVENTS, [10] * 5)}, budget)
    held[other] = fetch_result(other, [10] * 5, start=100)
    budget.left = 35
    assert [r.offset for r in held[EVENTS].getall(5000)] == [0, 1, 2, 3], "the record that exceeds it is the last"
    assert held[other].getall(5000) == []
    assert held[other].has_more()
    budget.left = 1000
    assert [r.offset for r in held[EVENTS].getall(5000)] == [4]
    assert not held[EVENTS].has_more()
    assert [r.offset for r in held[other].getall(2)] == [100, 101]

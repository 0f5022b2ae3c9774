"""A topic read whole, against the embedded broker: caught up means applied, and errors stop the worker."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream.errors import BrokerUnreachableError, StuckError, TopicsError
from stream.kafka import replica as replica_module
from stream.kafka.replica import (
    BATCH_RECORDS,
    GATHER_S,
    MAX_BATCHES_AHEAD,
    POLL_S,
    Replicated,
    TopicReplica,
    next_messages,
    read_whole,
)
from stream.settings import Settings

DEADLINE_S = 20.0
TOPIC = "items"


@pytest.fixture
def broker(embedded):
    return embedded({TOPIC: 2})


def produce(broker, records):
    """`(partition, key, value)` each, acknowledged when this returns."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, "linger.ms": 5})
    for partition, key, value in records:
        producer.produce(TOPIC, value, key, partition)
    assert producer.flush(DEADLINE_S) == 0


class Reader:
    """What a replica applied and what it called fatal."""

    def __init__(self, broker, topic=TOPIC, apply=None, **given):
        servers = broker if isinstance(broker, str) else broker.bootstrap_servers
        self.records: list[Replicated] = []
        self.batches: list[int] = []
        self.failures: list[BaseException] = []
        self.changed = asyncio.Event()
        self.replica = TopicReplica(
            Settings(bootstrap_servers=servers, **given), topic, apply or self.apply, self.fatal
        )

    def apply(self, records):
        self.records += records
        self.batches.append(len(records))
        self.changed.set()

    async def fatal(self, error):
        self.failures.append(error)
        self.changed.set()

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def caught_up(self):
        await asyncio.wait_for(self.replica.caught_up.wait(), DEADLINE_S)


@asynccontextmanager
async def reading(*args, **given):
    reader = Reader(*args, **given)
    reader.replica.start()
    try:
        yield reader
    finally:
        await asyncio.wait_for(reader.replica.stop(10.0), DEADLINE_S)
        assert not reader.replica._thread.is_alive()


async def test_an_empty_topic_is_caught_up_with_at_once(broker):
    async with reading(broker) as reader:
        await reader.caught_up()
        assert reader.records == []


async def test_caught_up_means_that_everything_there_at_the_start_has_been_applied(broker):
    sent = [(n % 2, b"%d" % n, b"v%d" % n) for n in range(3 * BATCH_RECORDS)]
    produce(broker, sent)
    async with reading(broker) as reader:
        await reader.caught_up()
        assert sorted((r.partition, r.key, r.value) for r in reader.records) == sorted(sent)
        for partition in (0, 1):
            offsets = [r.offset for r in reader.records if r.partition == partition]
            assert offsets == list(range(len(sent) // 2))
        assert max(reader.batches) <= BATCH_RECORDS
        assert all(r.timestamp_ms > 0 for r in reader.records)


async def test_a_topic_with_an_empty_partition_is_caught_up_with(broker):
    produce(broker, [(1, b"k", b"v")])
    async with reading(broker) as reader:
        await reader.caught_up()
        assert [(r.partition, r.key) for r in reader.records] == [(1, b"k")]


async def test_new_records_follow_and_null_keys_and_values_arrive_as_none(broker):
    async with reading(broker) as reader:
        await reader.caught_up()
        produce(broker, [(0, b"k", None), (0, None, b"v"), (0, b"", b"")])
        await reader.until(lambda: len(reader.records) == 3)
        assert [(r.key, r.value, r.offset) for r in reader.records] == [
            (b"k", None, 0), (None, b"v", 1), (b"", b"", 2),
        ]  # fmt: skip


async def test_records_are_applied_on_the_thread_of_the_event_loop(broker):
    threads = []
    produce(broker, [(0, b"k", b"v")])
    async with reading(broker, apply=lambda _: threads.append(threading.current_thread())) as reader:
        await reader.caught_up()
    assert threads == [threading.current_thread()]


async def test_every_start_reads_from_the_beginning(broker):
    produce(broker, [(0, b"k", b"v")])
    for _ in range(2):
        async with reading(broker) as reader:
            await reader.caught_up()
            assert len(reader.records) == 1


async def test_an_error_while_applying_is_fatal(broker):
    def fail(records):
        raise ValueError("not statistics")

    produce(broker, [(0, b"k", b"v")])
    async with reading(broker, apply=fail) as reader:
        await reader.until(lambda: reader.failures)
        assert [str(error) for error in reader.failures] == ["not statistics"]


async def test_a_topic_that_does_not_exist_is_fatal_and_says_what_to_do(broker):
    async with reading(broker, topic="nowhere") as reader:
        await reader.until(lambda: reader.failures)
        assert isinstance(reader.failures[0], TopicsError | BrokerUnreachableError)
        assert "nowhere" in reader.failures[0].message
        assert reader.failures[0].fix.startswith(("run `penchant", "see `penchant"))
        assert not reader.replica.caught_up.is_set()


async def test_a_broker_that_does_not_answer_is_fatal_within_the_deadline():
    async with reading("127.0.0.1:1", connect_timeout_s=0.5) as reader:
        await reader.until(lambda: reader.failures)
        assert isinstance(reader.failures[0], BrokerUnreachableError)


async def test_stopping_is_quick(broker):
    async with reading(broker) as reader:
        await reader.caught_up()
        started = time.monotonic()
        await reader.replica.stop(DEADLINE_S)
        assert time.monotonic() - started < 5 * replica_module.POLL_S + 1.0


@pytest.fixture
def as_far_ahead_as_it_may(monkeypatch):
    """An event that is set when the reading thread waits for the event loop; batches are of 10 records."""
    waiting, hand_over = threading.Event(), TopicReplica._hand_over

    def noticing(self, batch):
        if self._ahead._value == 0:
            waiting.set()
        hand_over(self, batch)

    monkeypatch.setattr(TopicReplica, "_hand_over", noticing)
    monkeypatch.setattr(replica_module, "BATCH_RECORDS", 10)
    return waiting


async def test_the_reader_is_only_so_many_batches_ahead_of_the_event_loop(broker, as_far_ahead_as_it_may):
    produce(broker, [(0, b"k", b"v")] * 200)
    scheduled = []
    async with reading(broker) as reader:
        schedule, reader.replica._schedule = reader.replica._schedule, lambda *call: scheduled.append(call)
        # The loop is busy, as in a long chunk, for this waits without giving it a turn.
        assert as_far_ahead_as_it_may.wait(DEADLINE_S)
        assert len(scheduled) == MAX_BATCHES_AHEAD
        reader.replica._schedule = schedule
        for call in scheduled:
            schedule(*call)
        await reader.caught_up()
        assert len(reader.records) == 200
        assert max(reader.batches) <= 10


async def test_stopping_is_quick_though_the_event_loop_never_took_what_was_read(broker, as_far_ahead_as_it_may):
    produce(broker, [(0, b"k", b"v")] * 200)
    reader = Reader(broker)
    reader.replica.start()
    assert as_far_ahead_as_it_may.wait(DEADLINE_S)
    reader.replica._stop.set()
    reader.replica._thread.join(DEADLINE_S)
    assert not reader.replica._thread.is_alive()
    await reader.replica.stop()


@pytest.mark.kafka
async def test_a_topic_that_ends_with_a_transaction_marker_is_caught_up_with(kafka):
    topic = "replica-transactions"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(DEADLINE_S)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "items", "log_level": 0})
    producer.init_transactions(DEADLINE_S)
    for commit, value in ((True, b"kept"), (False, b"aborted")):
        producer.begin_transaction()
        producer.produce(topic, value, b"k", 0)
        producer.flush(DEADLINE_S)
        (producer.commit_transaction if commit else producer.abort_transaction)(DEADLINE_S)
    async with reading(kafka, topic=topic) as reader:
        await reader.caught_up()
        assert [record.value for record in reader.records] == [b"kept"]


class SlowReplica:
    """Stands for a replica that is handed a record now and then."""

    def __init__(self, records: int, every_s: float) -> None:
        self.topic, self.applied_records, self.caught_up = "interest.items", 0, asyncio.Event()
        self._reading = asyncio.ensure_future(self._read(records, every_s))

    async def _read(self, records: int, every_s: float) -> None:
        for _ in range(records):
            await asyncio.sleep(every_s)
            self.applied_records += 1
        if every_s < 1:
            self.caught_up.set()


async def test_a_large_topic_is_read_for_as_long_as_it_takes_while_it_goes_on() -> None:
    slow, ready = SlowReplica(40, 0.05), SlowReplica(0, 0)
    await read_whole([slow, ready], stalled_s=0.8)  # it takes 2 s, and never stands still for long
    assert slow.applied_records == 40


async def test_a_topic_of_which_nothing_comes_any_more_is_told_of() -> None:
    with pytest.raises(StuckError, match=r"nothing of interest\.items was read for 0\.3 s, after 0 records"):
        await read_whole([SlowReplica(0, 0), SlowReplica(1, 60)], stalled_s=0.3)


# --- what is taken at once ---


class WrittenLog:
    """A consumer of what is there already; it notes how long it was asked to wait."""

    def __init__(self, *values: str) -> None:
        self._values = list(values)
        self.waits_s: list[float] = []

    def poll(self, timeout_s: float) -> str | None:
        self.waits_s.append(timeout_s)
        return self._values.pop(0) if self._values else None

    def consume(self, n: int, timeout_s: float) -> list[str]:
        """As librdkafka's: it would wait for all of the timeout unless there are n."""
        self.waits_s.append(timeout_s)
        taken, self._values = self._values[:n], self._values[n:]
        return taken


def test_one_record_is_not_kept_waiting_for_a_batch_of_them() -> None:
    log: Any = WrittenLog("a", "b", "c")

    assert next_messages(log, 100, GATHER_S) == ["a", "b", "c"]
    assert log.waits_s == [POLL_S, GATHER_S], "the first wait ends with the first record"
    assert GATHER_S <= POLL_S / 10


def test_what_is_beyond_a_batch_is_left_for_the_next() -> None:
    log: Any = WrittenLog("a", "b", "c")

    assert next_messages(log, 2, GATHER_S) == ["a", "b"]
    assert next_messages(log, 2, GATHER_S) == ["c"]


def test_nothing_is_waited_for_once() -> None:
    log: Any = WrittenLog()

    assert next_messages(log, 100, GATHER_S) == []
    assert log.waits_s == [POLL_S]


async def test_one_record_of_a_replica_is_not_kept_waiting_for_a_batch_of_them(broker, monkeypatch) -> None:
    asked: list[tuple[int, float]] = []

    class Noticing(Consumer):
        def consume(self, num_messages, timeout):
            asked.append((num_messages, timeout))
            return super().consume(num_messages, timeout)

    monkeypatch.setattr(replica_module, "Consumer", Noticing)
    async with reading(broker) as reader:
        await reader.caught_up()
        produce(broker, [(0, b"a", b"1")])
        await reader.until(lambda: any(record.key == b"a" for record in reader.records))
    assert asked, "it was read"
    assert all(timeout <= GATHER_S for _, timeout in asked)

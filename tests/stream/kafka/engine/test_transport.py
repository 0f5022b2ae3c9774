"""The chunk transport: every trap of Faust's per-record bookkeeping that it has to step around."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError, NodeNotReadyError
from confluent_kafka import Producer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess, ends

from stream.errors import InvariantError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.engine.fetching import Chunk
from stream.kafka.engine.transport import CHUNK_SCHEME, ChunkConsumer, ChunkSchema, ChunkTransport
from stream.kafka.specs import topic_specs
from stream.kafka.topics import create_topics
from stream.settings import load_settings
from stream.worker.app import Application

EVENTS = TP("events", 0)
TIMEOUT_S = 60.0


@pytest.fixture
async def consumer() -> AsyncIterator[ChunkConsumer]:
    """A consumer that is not connected to anything."""
    app = faust.App("transport", broker=f"{CHUNK_SCHEME}://127.0.0.1:1", Schema=ChunkSchema, broker_session_timeout=6)
    app.topics._acking_topics.add(EVENTS.topic)

    async def nothing(*_: Any) -> None: ...

    made = app.transport.create_consumer(
        callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
    )
    assert isinstance(made, ChunkConsumer)
    yield made
    made._thread.thread_loop.close()


async def test_what_an_agent_acknowledged_is_not_committed_until_it_is_durable(consumer: ChunkConsumer) -> None:
    # Traps 1, 2 and 5: acks come from Cython, also for chunks whose agent raised, and out of order.
    for last_offset in (199, 99):
        consumer._acked[EVENTS].append(last_offset)
        consumer._acked_index[EVENTS].add(last_offset)
    assert consumer._filter_committable_offsets([EVENTS]) == {}
    consumer.set_durable({EVENTS: 100})
    assert consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks()) == {EVENTS: 100}
    assert not consumer._acked[EVENTS], "acks would pile up for ever"
    assert not consumer._acked_index[EVENTS]


async def test_a_committed_offset_never_goes_back(consumer: ChunkConsumer) -> None:
    consumer._committed_offset[EVENTS] = 200
    consumer.set_durable({EVENTS: 100})
    assert consumer._filter_committable_offsets([EVENTS]) == {}


async def test_missing_offsets_are_not_materialised(consumer: ChunkConsumer) -> None:
    await consumer._add_gap(EVENTS, 0, 10**9)
    assert not consumer._gap[EVENTS]


async def test_a_chunk_is_one_message_with_the_offset_before_the_next_to_read(consumer: ChunkConsumer) -> None:
    assert consumer._to_message(EVENTS, Chunk([], 7, 3)).offset == 6


async def test_state_is_made_durable_and_committed_before_a_revoked_partition_is_forgotten(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []

    async def stop_flow(revoked: set[TP]) -> None:
        steps.append("flow stopped")

    async def make_durable(revoked: frozenset[TP]) -> None:
        steps.append(("durable", revoked))
        consumer.set_durable({EVENTS: 42})

    async def commit(topics: Any = None, start_new_transaction: bool = True) -> bool:
        steps.append(("commit", consumer._filter_committable_offsets([EVENTS])))
        return True

    monkeypatch.setattr(consumer, "_on_partitions_revoked", stop_flow)
    monkeypatch.setattr(consumer, "commit", commit)
    consumer.on_revoke = make_durable
    await consumer.on_partitions_revoked({EVENTS})
    assert steps == ["flow stopped", ("durable", frozenset({EVENTS})), ("commit", {EVENTS: 42})]
    assert EVENTS not in consumer._durable, "a later owner's offsets must not be committed over"


async def test_waiting_for_agents_has_a_deadline_and_commits_all_the_same(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # robinhood/faust#402: an ack that never comes keeps upstream waiting for ever.
    made_durable: list[frozenset[TP]] = []

    async def make_durable(revoked: frozenset[TP]) -> None:
        made_durable.append(revoked)

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def commit(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr(type(consumer).__mro__[1], "wait_empty", never)
    monkeypatch.setattr(consumer, "commit", commit)
    consumer.app.conf.broker_session_timeout = 0.05
    consumer.on_revoke = make_durable
    await asyncio.wait_for(consumer.wait_empty(), TIMEOUT_S)
    assert len(made_durable) == 1


async def test_what_was_read_between_the_seek_and_the_resumption_stays_in_the_queues(tmp_path: Path) -> None:
    # Upstream clears the streams' queues when the flow is resumed at the end of a recovery. A chunk fetched just before
    # was lost then, and nobody noticed: the position was behind it already.
    application = Application(load_settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path))
    queue = application.engine.faust.FlowControlQueue(maxsize=9, clear_on_resume=True)
    application.engine.faust.flow_control.suspend()
    queue.force_put_nowait("a chunk")
    application.engine.faust.flow_control.resume()
    assert queue.qsize() == 1
    application.engine.faust.flow_control.clear()  # what a revocation does
    assert queue.qsize() == 0
    application.directory.close()


async def test_a_partition_without_a_committed_offset_is_read_again_from_its_oldest_record(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Upstream leaves its position where it is, behind what was fetched and dropped while the flow was stopped.
    other, changelog = TP("events", 1), TP("changelog", 0)
    sought: list[tuple[TP, int]] = []

    async def committed() -> dict[TP, int | None]:
        return {EVENTS: None, other: 7, changelog: None}

    async def seek(tp: TP, offset: int) -> None:
        sought.append((tp, offset))

    async def earliest(*tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 3)

    monkeypatch.setattr(consumer, "seek_to_committed", committed)
    monkeypatch.setattr(consumer, "_seek", seek)
    monkeypatch.setattr(consumer, "earliest_offsets", earliest)
    monkeypatch.setattr(consumer, "assignment", lambda: {EVENTS, other, changelog})
    consumer.app.tables._changelogs["changelog"] = None
    assert consumer.start_offset(EVENTS) is None
    await consumer.perform_seek()
    assert sought == [(EVENTS, 3)]
    assert (consumer.start_offset(EVENTS), consumer.start_offset(other), consumer.start_offset(changelog)) == (
        3,
        7,
        None,
    )


async def test_a_seek_while_the_flow_is_stopped_does_not_settle_where_reading_begins(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def committed() -> dict[TP, int]:
        return {EVENTS: 7}

    monkeypatch.setattr(consumer, "seek_to_committed", committed)
    monkeypatch.setattr(consumer, "assignment", lambda: {EVENTS})
    consumer.stop_flow()
    await consumer.perform_seek()
    assert consumer.start_offset(EVENTS) is None, "it would be opened before it is recovered"
    consumer.resume_flow()
    await consumer.perform_seek()
    assert consumer.start_offset(EVENTS) == 7


async def test_a_chunk_that_arrives_during_a_seek_does_not_move_where_reading_begins(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A chunk that was fetched before the seek, behind one that was dropped: begun at the end of it, the worker would have
    # taken that chunk for the first, and the dropped one would never have been read again.
    uncommitted = TP("item_deltas", 0)

    async def committed() -> dict[TP, int | None]:
        return {uncommitted: None, EVENTS: 547}

    async def earliest(*tps: TP) -> dict[TP, int]:
        consumer._read_offset |= {EVENTS: 599, uncommitted: 83}  # as Faust does with each chunk it hands on
        return dict.fromkeys(tps, 2)

    async def seek(tp: TP, offset: int) -> None:
        consumer._read_offset |= {EVENTS: 620, uncommitted: 90}

    monkeypatch.setattr(consumer, "seek_to_committed", committed)
    monkeypatch.setattr(consumer, "earliest_offsets", earliest)
    monkeypatch.setattr(consumer, "_seek", seek)
    monkeypatch.setattr(consumer, "assignment", lambda: {EVENTS, uncommitted})
    await consumer.perform_seek()
    assert (consumer.start_offset(EVENTS), consumer.start_offset(uncommitted)) == (547, 2)


@pytest.mark.parametrize("overtaken", ["stopped", "over"])
@pytest.mark.parametrize("during", ["committed", "earliest", "seek"])
async def test_a_seek_that_a_rebalance_overtakes_does_not_settle_where_reading_begins(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch, during: str, overtaken: str
) -> None:
    # It would be known before the next recovery, and a partition opened then keeps states that its changelog is ahead of.
    def rebalance(now: str) -> None:
        if now == during:
            consumer.stop_flow()
            consumer._start.clear()  # it is the revocation that forgets
            if overtaken == "over":
                consumer.app.consumer_generation_id += 1
                consumer.resume_flow()

    async def committed() -> dict[TP, int | None]:
        rebalance("committed")
        return {EVENTS: 7, other: None}

    async def earliest(*tps: TP) -> dict[TP, int]:
        rebalance("earliest")
        return dict.fromkeys(tps, 3)

    async def seek(tp: TP, offset: int) -> None:
        rebalance("seek")

    other = TP("events", 1)
    monkeypatch.setattr(consumer, "seek_to_committed", committed)
    monkeypatch.setattr(consumer, "earliest_offsets", earliest)
    monkeypatch.setattr(consumer, "_seek", seek)
    monkeypatch.setattr(consumer, "assignment", lambda: {EVENTS, other})
    await consumer.perform_seek()
    assert (consumer.start_offset(EVENTS), consumer.start_offset(other)) == (None, None)


async def test_nothing_is_fetched_of_a_new_partition_before_its_recovery(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A member that had no partitions goes on fetching while it is given some, and upstream drops what it fetched.
    active: list[set[TP]] = []

    async def assign(*_: Any, **__: Any) -> None:
        active.append(set(consumer._get_active_partitions()))

    monkeypatch.setattr(consumer, "_on_partitions_assigned", assign)
    await consumer.on_partitions_assigned({EVENTS})
    assert active == [set()]
    consumer.resume_partitions({EVENTS})
    assert consumer._get_active_partitions() == {EVENTS}


async def test_a_partition_of_somebody_else_that_was_read_until_just_now_does_not_begin_anywhere(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Faust notes how far a chunk went when it has handed it on, which may be after the partition was revoked.
    async def committed() -> dict[TP, int]:
        return {EVENTS: 7}

    consumer._read_offset[TP("events", 1)] = 40
    monkeypatch.setattr(consumer, "seek_to_committed", committed)
    monkeypatch.setattr(consumer, "assignment", lambda: {EVENTS})
    await consumer.perform_seek()
    assert (consumer.start_offset(EVENTS), consumer.start_offset(TP("events", 1))) == (7, None)


async def test_a_seek_happens_in_the_thread_that_fetches(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Upstream's happens in the caller's, where it removed records during a fetch: a KeyError that ended the worker.
    asked: list[Any] = []

    async def call_thread(*call: Any) -> None:
        asked.append(call)

    monkeypatch.setattr(consumer._thread, "call_thread", call_thread)
    await consumer.seek(EVENTS, 5)
    assert asked == [(consumer._thread.seek, EVENTS, 5)]


async def test_the_broker_holds_an_empty_fetch_only_as_long_as_the_setting_says(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = consumer.transport
    assert isinstance(transport, ChunkTransport)
    monkeypatch.setattr(
        driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: SimpleNamespace(_fetch_max_wait_ms=1500)
    )
    transport.fetch_max_wait_ms = 77
    made = consumer._thread._create_worker_consumer(transport)
    assert made._fetch_max_wait_ms == 77


async def test_a_fetch_says_in_which_rack_the_worker_is(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: AIOKafkaConsumer(client_rack="driver's")
    )
    consumer.transport.client_rack = "eu-central-1a"
    made = consumer._thread._create_worker_consumer(consumer.transport)
    await made.stop()
    assert made._client_rack == "eu-central-1a"


# --- on the embedded broker ---

Embedded = Callable[[Mapping[str, int]], EmbeddedBroker]


async def test_membership_is_certain_only_within_a_session_of_its_last_confirmation(consumer: ChunkConsumer) -> None:
    session_s = consumer.app.conf.broker_session_timeout
    assert not consumer.is_member()
    consumer.note_member(time.monotonic() - session_s - 1)  # a worker that was stopped since
    assert not consumer.is_member()
    consumer.note_member(time.monotonic())
    assert consumer.is_member()
    consumer.note_member(time.monotonic() - session_s - 1)  # a late answer to an early question
    assert consumer.is_member()


@pytest.mark.parametrize("is_member", [True, False])
async def test_only_a_heartbeat_that_the_group_accepted_confirms_the_membership(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch, is_member: bool
) -> None:
    async def beat() -> bool:
        return is_member

    async def started(_: Any) -> None: ...

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_start", started)
    thread: Any = consumer._thread
    coordinator = SimpleNamespace(_do_heartbeat=beat, _on_join_complete=started)
    monkeypatch.setattr(thread, "_consumer", SimpleNamespace(_coordinator=coordinator))
    await thread.on_start()
    assert await coordinator._do_heartbeat() is is_member
    assert consumer.is_member() is is_member


@pytest.mark.parametrize("is_member", [True, False])
async def test_while_the_callback_of_an_assignment_runs_the_group_hears_that_the_worker_lives(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch, is_member: bool
) -> None:
    beats: list[str] = []

    async def beat() -> bool:
        beats.append("beat")
        return is_member

    async def claim_many_partitions(generation: int) -> None:
        async with asyncio.timeout(30):
            while len(beats) < (3 if is_member else 1):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        beats.append(f"done {generation}")

    async def started(_: Any) -> None: ...

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_start", started)
    thread: Any = consumer._thread
    coordinator = SimpleNamespace(_do_heartbeat=beat, _on_join_complete=claim_many_partitions, _heartbeat_interval_ms=1)
    monkeypatch.setattr(thread, "_consumer", SimpleNamespace(_coordinator=coordinator))
    await thread.on_start()
    await coordinator._on_join_complete(7)
    assert beats[-1] == "done 7"
    assert beats.count("beat") >= 3 if is_member else beats == ["beat", "done 7"]
    await asyncio.sleep(0.02)
    assert beats[-1] == "done 7", "afterwards it is aiokafka's to do"


def test_a_worker_that_hangs_while_it_stops_ends_all_the_same_and_says_why() -> None:
    hanging = (
        "import threading\n"
        "from stream.worker.lifecycle import exit_at_last\n"
        "exit_at_last(lambda: RuntimeError('lost the partition'), 0.2)\n"
        "threading.Event().wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("penchant: lost the partition (did not end by itself")


async def test_a_commit_that_aiokafka_cancelled_is_told_as_a_lost_membership(tmp_path: Path) -> None:
    app = Application(load_settings(data_dir=tmp_path / "data"))
    app.engine.faust._crashed.set()
    app.engine.faust._crash_reason = asyncio.CancelledError()
    await app.lifecycle.until_stopped()
    await app.lifecycle.shut_down(app._close)
    app.engine.faust.consumer._thread.thread_loop.close()
    assert isinstance(app.lifecycle.failure, InvariantError)
    assert "no longer a member" in str(app.lifecycle.failure)


def on_embedded(embedded: Embedded, partitions: int = 1, **overrides: object) -> Topics:
    topics = Topics("127.0.0.1:1", "chunks", **overrides)
    broker = embedded({spec.name: partitions for spec in topic_specs(topics.settings)})
    return Topics(broker.bootstrap_servers, "chunks", **overrides)


def good_events(n: int) -> list[tuple[bytes, bytes]]:
    return [
        (
            b"ann",
            json.dumps({"user_id": "ann", "item_id": f"i{i}", "action": "view", "event_time": 10**12 + i}).encode(),
        )
        for i in range(n)
    ]


def test_a_chunk_holds_at_most_the_configured_records_and_metrics_count_records_not_chunks(
    embedded: Embedded, tmp_path: Path
) -> None:
    topics = on_embedded(embedded, chunk_max_records=100)
    topics.produce(topics.settings.topic_events, good_events(1000))
    with WorkerProcess(topics.settings, tmp_path / "w", chunk_max_records=100) as worker:
        worker.wait_for("everything", lambda: worker.metrics().get('penchant_events_total{action="view"}') == 1000)
        labels = f'topic="{topics.settings.topic_events}"'
        assert worker.metrics()[f"penchant_chunk_records_sum{{{labels}}}"] == 1000
        assert worker.metrics()[f'penchant_chunk_records_bucket{{le="100.0",{labels}}}'] >= 10
        assert (
            worker.metrics()[f"penchant_chunk_records_count{{{labels}}}"]
            == (worker.metrics()[f'penchant_chunk_records_bucket{{le="100.0",{labels}}}'])
        )


async def test_a_bug_in_an_agent_stops_the_worker_before_anything_is_committed(
    embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = on_embedded(embedded)
    topics.produce(topics.settings.topic_events, good_events(10))
    application = Application(topics.settings.model_copy(update={"data_dir": tmp_path / "w"}))

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(application.tracker, "apply", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await asyncio.wait_for(application.run(), TIMEOUT_S)
    assert topics.committed(topics.settings.topic_events) == {}


# --- on Apache Kafka ---


@pytest.mark.kafka
def test_control_records_at_the_end_of_the_log_are_committed_too(kafka: KafkaServer, tmp_path: Path) -> None:
    # Trap 9: aiokafka passes over transaction markers in silence; without an empty chunk the lag would never reach 0.
    topics = Topics(kafka.bootstrap_servers, "control-records", partitions=1)
    create_topics(topics.settings)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "control", "log_level": 0})
    producer.init_transactions(TIMEOUT_S)
    with WorkerProcess(topics.settings, tmp_path / "w") as worker:
        for start in (0, 5):
            producer.begin_transaction()
            for key, value in good_events(10)[start : start + 5]:
                producer.produce(topics.settings.topic_events, value, key)
            producer.commit_transaction(TIMEOUT_S)
            worker.wait_for("the end of the log", topics.all_committed)
        assert ends(kafka.bootstrap_servers, topics.settings.topic_events) == {0: 12}
        assert worker.metrics()['penchant_events_total{action="view"}'] == 10


@pytest.mark.kafka
def test_a_log_that_begins_with_an_aborted_transaction_is_read_to_its_end(kafka: KafkaServer, tmp_path: Path) -> None:
    # The first fetch finds nothing but moves on; without an empty chunk for it recovery would wait for ever.
    topics = Topics(kafka.bootstrap_servers, "aborted-first", partitions=1)
    create_topics(topics.settings)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "aborted", "log_level": 0})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(topics.settings.changelog_topic, b"state of a commit that was never finished", b"u")
    producer.flush(TIMEOUT_S)
    producer.abort_transaction(TIMEOUT_S)
    with WorkerProcess(topics.settings, tmp_path / "w") as worker:
        topics.produce(topics.settings.topic_events, good_events(10))
        worker.wait_for("everything", topics.all_committed)
    assert b"state of a commit that was never finished" not in topics.state().values()


async def test_fetching_pauses_while_too_many_bytes_wait_and_goes_on_when_they_are_applied_or_dropped(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(*_: Any, **__: Any) -> str:
        return "fetched"

    monkeypatch.setattr(type(consumer).__mro__[2], "_getmany", fetch)
    consumer.transport.fetch_buffer_max_bytes = 100
    record = SimpleNamespace(key=b"u", value=bytes(59), timestamp=0)
    first, second = (consumer._to_message(EVENTS, Chunk([record], n + 1, n)) for n in (0, 1))  # type: ignore[list-item]
    assert consumer.unapplied_bytes() == 120
    assert await consumer._getmany({EVENTS}, 1.0) == {}
    first.acked = True  # an agent is done with it
    assert await consumer._getmany({EVENTS}, 1.0) == "fetched"
    del second  # a rebalance emptied the queues
    assert consumer.unapplied_bytes() == 0


async def test_what_is_resumed_during_a_wait_for_records_is_fetched_after_one_wait_of_the_broker(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(_: ChunkConsumer, partitions: set[TP], wait_s: float) -> float:
        return wait_s

    monkeypatch.setattr(type(consumer).__mro__[2], "_getmany", fetch)
    consumer.transport.fetch_max_wait_ms = 50
    assert await consumer._getmany({EVENTS}, 1.0) == 0.05


async def test_where_all_partitions_are_paused_the_next_look_comes_soon(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep_as_long_as_upstream(*_: Any) -> None:
        pytest.fail("a partition that is resumed meanwhile waits for a second")

    async def wait(_: object) -> None:
        consumer.resume_flow()

    monkeypatch.setattr(consumer, "sleep", sleep_as_long_as_upstream)
    monkeypatch.setattr(consumer, "wait", wait)
    consumer.stop_flow()
    consumer._active_partitions = set()
    assert await consumer._wait_next_records(1.0) == (None, set())


async def test_an_error_that_may_pass_does_not_keep_aiokafka_from_the_group_for_ever(consumer: ChunkConsumer) -> None:
    loop = asyncio.get_running_loop()
    coordinator = SimpleNamespace(
        _coordination_task=loop.create_future(),
        _pending_exception=NodeNotReadyError(),
        _error_consumed_fut=loop.create_future(),
    )
    consumed = coordinator._error_consumed_fut
    consumer._thread.thread_loop.close()
    consumer._thread.thread_loop = loop
    consumer._thread._consumer = SimpleNamespace(_coordinator=coordinator)
    assert consumer.group_error() is None
    await asyncio.wait_for(consumed, TIMEOUT_S)
    assert consumer.group_error() is None
    coordinator._pending_exception = GroupAuthorizationFailedError("group")
    assert consumer.group_error() is coordinator._pending_exception, "this one does not pass by itself"
    consumer._thread.thread_loop = asyncio.new_event_loop()  # for the fixture to close

"""Producing files: pacing, back-pressure, counts, keys and partitions, and how it ends."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import BrokerUnreachableError, DeliveryError, InputFileError, SettingsError, TopicsError
from stream.files.feed import EXAMPLES_MAX, MAX_SPEED, Pacer, ReplayReport, produce
from stream.files.mapping import parse_mapping
from stream.files.reading import BadRow, FileRecord
from stream.files.replay import load_items, producer_config, replay
from stream.kafka.embedded import EmbeddedBroker
from stream.params import decode_limits
from stream.settings import Settings

LIMITS = decode_limits(Settings())


class FakeProducer:
    """A queue with room for `room` records, served by `poll`, which is also all that makes time pass."""

    def __init__(self, room: int = 1000, refuse: frozenset[bytes] = frozenset(), stuck: bool = False) -> None:
        self.room, self.refuse, self.stuck = room, refuse, stuck
        self.now = 0.0
        self.queue: deque[tuple[bytes, Callable[[Any, Any], None]]] = deque()
        self.produced: list[tuple[float, bytes]] = []
        self.on_poll: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        if len(self.queue) >= self.room:
            raise BufferError("queue full")
        self.queue.append((value, on_delivery))
        self.produced.append((self.now, value))

    def poll(self, timeout: float) -> int:
        self.now += timeout
        self.on_poll()
        if timeout == 0 or self.stuck:  # deliveries take time
            return 0
        return self.flush(0)

    def flush(self, timeout: float) -> int:
        while self.queue and not self.stuck:
            value, on_delivery = self.queue.popleft()
            on_delivery("refused" if value in self.refuse else None, None)
        return len(self.queue)


def record(line: int, time_ms: int = 0) -> FileRecord:
    return FileRecord(line, b"u", str(line).encode(), time_ms, line * 10)


def run(producer: FakeProducer, rows: list[FileRecord | BadRow], **options: Any) -> ReplayReport:
    return produce(producer, "t", rows, clock=producer.clock, **options)


# --- pacing


def test_an_hour_of_events_takes_a_second_at_speed_3600() -> None:
    producer = FakeProducer()

    report = run(producer, [record(1, 5_000), record(2, 1_805_000), record(3, 3_605_000)], speed=3600)

    assert [at for at, _ in producer.produced] == pytest.approx([0.0, 0.5, 1.0])
    assert report.duration_s == pytest.approx(1.0)
    assert report.rate == pytest.approx(3.0)
    assert (report.first_time_ms, report.last_time_ms) == (5_000, 3_605_000)


def test_at_full_speed_nothing_waits() -> None:
    producer = FakeProducer()

    run(producer, [record(1), record(2, 10**12)], speed=MAX_SPEED)

    assert producer.now == 0.0


def test_a_late_record_is_sent_at_once_and_in_file_order() -> None:
    producer = FakeProducer()

    run(producer, [record(1, 0), record(2, 2_000), record(3, 1_000), record(4, 3_000)], speed=1)

    assert producer.produced == [
        (0.0, b"1"),
        (pytest.approx(2.0), b"2"),
        (pytest.approx(2.0), b"3"),
        (pytest.approx(3.0), b"4"),
    ]


@given(st.lists(st.integers(-(10**13), 10**13), min_size=1), st.floats(0.001, 1e9))
def test_what_is_due_never_goes_back_and_ends_at_the_newest_time(times_ms: list[int], speed: float) -> None:
    pacer = Pacer(speed)

    due = [pacer.due_s(time_ms) for time_ms in times_ms]

    assert due[0] == 0.0
    assert due == sorted(due)
    assert due[-1] == pytest.approx((max(times_ms) - times_ms[0]) / 1000 / speed)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_not_above_zero_is_refused_by_name(speed: float) -> None:
    with pytest.raises(SettingsError, match="--speed"):
        Pacer(speed)


# --- back-pressure


def test_a_full_queue_is_waited_for_and_nothing_is_lost_or_reordered() -> None:
    producer = FakeProducer(room=3)

    report = run(producer, [record(line) for line in range(20)])

    assert [value for _, value in producer.produced] == [str(line).encode() for line in range(20)]
    assert (report.sent, report.delivered, report.failed) == (20, 20, 0)


def test_a_queue_that_stays_full_is_an_error_after_the_deadline() -> None:
    producer = FakeProducer(room=1, stuck=True)

    with pytest.raises(DeliveryError, match="stayed full for 3 s"):
        run(producer, [record(1), record(2)], delivery_timeout_s=3)

    assert producer.now == pytest.approx(3.05, abs=0.1)


def test_a_record_is_held_back_as_long_as_asked_and_is_then_sent_once() -> None:
    producer = FakeProducer()
    asked: list[int] = []

    def hold_back(row: FileRecord) -> bool:
        asked.append(row.line)
        return asked.count(row.line) < 3

    run(producer, [record(1), record(2)], hold_back=hold_back)

    assert asked == [1, 1, 1, 2, 2, 2]
    assert producer.produced == [(pytest.approx(0.1), b"1"), (pytest.approx(0.2), b"2")]


# --- counting


def test_rejected_rows_are_counted_by_reason_and_the_first_are_shown() -> None:
    bad = [BadRow(line, "bad_time" if line % 2 else "schema", "why", line) for line in range(30)]

    report = run(FakeProducer(), [record(100), *bad, record(101)])

    assert report.rejected == {"bad_time": 15, "schema": 15}
    assert report.examples == tuple(bad[:EXAMPLES_MAX])
    assert report.sent == 2


def test_records_that_the_broker_refuses_are_counted_as_failed_with_the_first_cause() -> None:
    report = run(FakeProducer(refuse=frozenset([b"2"])), [record(1), record(2), record(3)])

    assert (report.sent, report.delivered, report.failed, report.first_failure) == (3, 2, 1, "refused")


def test_records_still_unacknowledged_at_the_deadline_are_failures() -> None:
    report = run(FakeProducer(stuck=True), [record(1), record(2)], delivery_timeout_s=3)

    assert (report.sent, report.delivered, report.failed) == (2, 0, 2)
    assert report.first_failure == "not acknowledged within 3 s"


def test_a_producer_that_is_broken_for_good_is_an_error_that_names_the_line() -> None:
    class Broken(FakeProducer):
        def produce(self, *_: Any, **__: Any) -> None:
            raise KafkaException("fenced")

    with pytest.raises(DeliveryError, match="line 7: fenced"):
        run(Broken(), [record(7)])


def test_progress_is_told_ten_times_a_second_at_most_and_at_the_end() -> None:
    told: list[tuple[int, int, int]] = []
    rows = [record(line, line * 10) for line in range(101)]  # one second at speed 1

    run(FakeProducer(), [*rows, BadRow(101, "schema", "why", 1010)], speed=1, on_progress=lambda *now: told.append(now))

    assert 5 <= len(told) <= 11
    assert told == sorted(told)
    assert told[-1] == (101, 1, 1010)


# --- Ctrl-C


def test_ctrl_c_stops_reading_and_awaits_what_was_sent() -> None:
    producer = FakeProducer()

    def interrupt() -> None:
        if producer.now > 1.5:
            producer.on_poll = lambda: None
            os.kill(os.getpid(), signal.SIGINT)

    producer.on_poll = interrupt

    report = run(producer, [record(line, line * 1000) for line in range(10)], speed=1)

    assert report.interrupted
    assert (report.sent, report.delivered) == (2, 2)
    assert not producer.queue


# --- against a broker


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedBroker({"interest.events": 4, "interest.items": 3}) as broker:
        yield Settings(bootstrap_servers=broker.bootstrap_servers, connect_timeout_s=10, delivery_timeout_s=20)


def read_back(settings: Settings, topic: str, partitions: int, count: int) -> list[Any]:
    consumer = Consumer(settings.client_config() | {"group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    try:
        messages = consumer.consume(count, timeout=20)
    finally:
        consumer.close()
    assert len(messages) == count
    return messages


# What Java's `Utils.toPositive(Utils.murmur2(key)) % 4` gives, from the hashes in Apache Kafka's UtilsTest.testMurmur2.
JAVA_MURMUR2 = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}


def test_events_land_with_their_keys_where_java_clients_put_them_in_file_order(
    tmp_path: Path, settings: Settings
) -> None:
    path = tmp_path / "a.csv"
    users = [*JAVA_MURMUR2] * 1000
    path.write_text(
        "who,what\n" + "".join(f"{user},{number}\n" for number, user in enumerate(users)) + f",{'x' * 20_000}\n"
    )

    report = replay(path, parse_mapping("user_id=who,item_id=what,action=:view"), settings=settings, limits=LIMITS)
    messages = read_back(settings, "interest.events", 4, len(users))

    assert (report.sent, report.delivered, report.failed, report.rejected) == (3000, 3000, 0, {"bad_id": 1})
    assert report.bytes_read == path.stat().st_size
    assert report.examples[0].line == 3002
    for user, murmur2 in JAVA_MURMUR2.items():
        mine = [message for message in messages if message.key() == user.encode()]
        assert {message.partition() for message in mine} == {(murmur2 & 0x7FFFFFFF) % 4}
        numbers = [number for number, name in enumerate(users) if name == user]
        expected = [{"user_id": user, "action": "view", "item_id": str(number)} for number in numbers]
        assert [msgspec.json.decode(message.value()) for message in mine] == expected


def test_items_are_produced_keyed_by_item(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("item_id\ttitle\nm1\tMug\nm2\tCup\n")

    report = load_items(path, settings=settings, limits=LIMITS)
    messages = read_back(settings, "interest.items", 3, 2)

    assert (report.sent, report.delivered) == (2, 2)
    assert {message.key(): message.value() for message in messages} == {
        b"m1": b'{"item_id":"m1","title":"Mug"}',
        b"m2": b'{"item_id":"m2","title":"Cup"}',
    }


def test_the_producer_is_idempotent_and_its_memory_is_bounded(settings: Settings) -> None:
    config = producer_config(settings)

    assert config["enable.idempotence"] is True
    assert config["partitioner"] == "murmur2_random"
    assert config["queue.buffering.max.kbytes"] <= 65_536


def test_a_topic_that_is_missing_is_named_and_not_made(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,action\nu,query\n")
    elsewhere = settings.model_copy(update={"topic_events": "other"})

    for _ in range(2):
        with pytest.raises(TopicsError, match="no topic other"):
            replay(path, settings=elsewhere, limits=LIMITS)


def test_a_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,action\nu,query\n")

    with pytest.raises(BrokerUnreachableError, match=r"127\.0\.0\.1:1 within 0\.2 s"):
        replay(path, settings=Settings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=0.2), limits=LIMITS)


def test_a_bad_file_or_speed_is_an_error_before_anything_connects(tmp_path: Path) -> None:
    nowhere = Settings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=100)
    path = tmp_path / "a.csv"

    with pytest.raises(InputFileError, match="No such file"):
        replay(path, settings=nowhere, limits=LIMITS)
    path.write_text("user_id,action\nu,query\n")
    with pytest.raises(SettingsError, match="--speed"):
        replay(path, settings=nowhere, limits=LIMITS, speed=0)

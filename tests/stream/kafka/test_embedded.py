"""The embedded broker, and what keeps its small memory from losing records unnoticed."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from stream.errors import BrokerUnreachableError, InvariantError, PenchantError, TopicsError, UsageError
from stream.kafka import embedded as broker_module
from stream.kafka.embedded import LIMITS, EmbeddedBroker, find_library
from stream.kafka.retention import RetentionGuard

DEADLINE_S = 15.0
VALUE = random.Random(7).randbytes(1000)  # random, so that no compression hides its size

Start = Callable[[Mapping[str, int]], EmbeddedBroker]


def new_producer(bootstrap_servers: str, **config: object) -> Producer:
    return Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0, **config})


def new_consumer(bootstrap_servers: str, group_id: str = "readers", **config: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 1500,  # a group that had a member before forms after this less a second
            "heartbeat.interval.ms": 300,
            "log_level": 0,
            **config,
        }
    )


def produce(bootstrap_servers: str, topic: str, count: int, value: bytes = VALUE, partition: int = 0) -> None:
    producer = new_producer(bootstrap_servers)
    for number in range(count):
        producer.produce(topic, value, key=str(number), partition=partition)
    assert producer.flush(DEADLINE_S) == 0


def read(consumer: Consumer, count: int) -> list[Message]:
    """The next `count` messages; fails when they do not come in time."""
    deadline = time.monotonic() + DEADLINE_S
    messages: list[Message] = []
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages within {DEADLINE_S} s"
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


Closing = Callable[[Consumer], Consumer]


@pytest.fixture
def closing() -> Iterator[Closing]:
    """Closes each consumer it is given after the test, before the broker goes."""
    consumers: list[Consumer] = []

    def remember(consumer: Consumer) -> Consumer:
        consumers.append(consumer)
        return consumer

    yield remember
    for consumer in consumers:
        consumer.close()


# The broker


def test_topics_have_the_partitions_they_were_given(embedded: Start) -> None:
    broker = embedded({"events": 3, "items": 1})
    broker.create_topic("late", 2)
    topics = new_producer(broker.bootstrap_servers).list_topics(timeout=DEADLINE_S).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {"events": 3, "items": 1, "late": 2}


def test_a_group_reads_what_was_produced_and_finds_its_commit_again(embedded: Start, closing: Closing) -> None:
    broker = embedded({"events": 1})
    produce(broker.bootstrap_servers, "events", 5)
    first = closing(new_consumer(broker.bootstrap_servers))
    first.subscribe(["events"])
    messages = read(first, 5)
    assert [(str(n).encode(), VALUE, n) for n in range(5)] == [(m.key(), m.value(), m.offset()) for m in messages]
    first.commit(messages[2], asynchronous=False)
    first.close()

    second = closing(new_consumer(broker.bootstrap_servers))
    second.subscribe(["events"])
    assert [message.offset() for message in read(second, 2)] == [3, 4]


def test_a_group_forms_within_two_seconds(embedded: Start, closing: Closing) -> None:
    broker = embedded({"events": 1})
    produce(broker.bootstrap_servers, "events", 1)
    consumer = closing(new_consumer(broker.bootstrap_servers))
    began = time.monotonic()
    consumer.subscribe(["events"])
    read(consumer, 1)
    assert time.monotonic() - began < 2.0  # 0.36 s on 2 cores; the mock's own delay alone is 3 s


def test_two_brokers_at_once_know_nothing_of_each_other(embedded: Start) -> None:
    one, other = embedded({"only-one": 1}), embedded({"only-other": 1})
    assert one.bootstrap_servers != other.bootstrap_servers
    assert list(new_producer(one.bootstrap_servers).list_topics(timeout=DEADLINE_S).topics) == ["only-one"]
    assert list(new_producer(other.bootstrap_servers).list_topics(timeout=DEADLINE_S).topics) == ["only-other"]


def test_it_listens_on_this_machine_only(embedded: Start) -> None:
    host, _, port = embedded({}).bootstrap_servers.partition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0


def test_after_close_nobody_listens_and_closing_again_is_allowed() -> None:
    broker = EmbeddedBroker({"events": 1})
    host, _, port = broker.bootstrap_servers.partition(":")
    socket.create_connection((host, int(port)), timeout=DEADLINE_S).close()
    broker.close()
    broker.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=DEADLINE_S)


def test_it_closes_while_clients_are_connected() -> None:
    with EmbeddedBroker({"events": 1}) as broker:
        producer = new_producer(broker.bootstrap_servers)
        producer.list_topics(timeout=DEADLINE_S)
    with pytest.raises(KafkaException):
        producer.list_topics(timeout=0.2)


def test_a_closed_broker_refuses_a_topic_rather_than_touch_freed_memory() -> None:
    broker = EmbeddedBroker({})
    broker.close()
    with pytest.raises(PenchantError, match="closed"):
        broker.create_topic("events", 1)


@pytest.mark.parametrize(("name", "partitions"), [("", 1), ("事件", 1), ("a\0b", 1), ("events", 0), ("events", -1)])
def test_an_impossible_topic_is_refused(embedded: Start, name: str, partitions: int) -> None:
    with pytest.raises(TopicsError, match="cannot be made"):
        embedded({name: partitions})


def test_the_same_topic_twice_is_refused(embedded: Start) -> None:
    broker = embedded({"events": 1})
    with pytest.raises(TopicsError, match="'events' exists already"):
        broker.create_topic("events", 1)


def test_a_failed_start_leaves_no_thread_behind() -> None:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("threads are counted through /proc")
    before = len(list(tasks.iterdir()))
    with pytest.raises(TopicsError):
        EmbeddedBroker({"events": 0})
    assert len(list(tasks.iterdir())) == before


def test_an_unknown_topic_gets_four_partitions_from_a_producer_as_the_limits_say(embedded: Start) -> None:
    broker = embedded({})
    producer = new_producer(broker.bootstrap_servers)
    producer.produce("misspelt", b"x")
    assert producer.flush(DEADLINE_S) == 0
    assert len(producer.list_topics("misspelt", timeout=DEADLINE_S).topics["misspelt"].partitions) == 4
    assert any("creates it with 4 partitions" in limit for limit in LIMITS)


@pytest.mark.parametrize(
    ("bundle", "file"),
    [
        ("confluent_kafka.libs", "librdkafka-0cb94173.so.1"),
        ("confluent_kafka/.dylibs", "librdkafka.1.dylib"),
        ("confluent_kafka/.dylibs", "librdkafka.dylib"),
    ],
)
def test_the_library_is_found_where_linux_and_macos_wheels_put_it(tmp_path: Path, bundle: str, file: str) -> None:
    directory = tmp_path / bundle
    directory.mkdir(parents=True)
    (directory / file).touch()
    (directory / "librdkafka++.so.1").touch()
    assert find_library(tmp_path / "confluent_kafka") == directory / file


def test_a_missing_library_is_a_usage_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wheel") as raised:
        find_library(tmp_path / "confluent_kafka")
    assert "make kafka" in raised.value.fix


@pytest.mark.skipif(sys.platform != "linux", reason="the name of a Linux library")
def test_a_library_without_the_mock_cluster_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "confluent_kafka.libs"
    bundle.mkdir()
    (bundle / "librdkafka-0.so.1").write_text("not a library")
    spec = SimpleNamespace(origin=str(tmp_path / "confluent_kafka" / "__init__.py"))
    monkeypatch.setattr(broker_module.importlib.util, "find_spec", lambda name: spec)
    broker_module._load_library.cache_clear()
    try:
        with pytest.raises(UsageError, match="cannot serve as the embedded broker"):
            EmbeddedBroker({})
    finally:
        broker_module._load_library.cache_clear()


# Retention


def test_the_broker_drops_the_oldest_records_of_a_full_partition_and_the_guard_counts_them(embedded: Start) -> None:
    broker = embedded({"events": 2})
    produce(broker.bootstrap_servers, "events", 6000)  # 6 MB into 5 MiB
    with RetentionGuard(broker.bootstrap_servers) as guard:
        lost = guard.lost("events", 0, 0)
        assert 0 < lost < 2000
        assert guard.lost("events", 0, 100) == lost - 100
        assert guard.lost("events", 0, lost) == 0
        assert guard.lost("events", 1, 0) == 0


def test_batches_over_half_of_the_memory_vanish_together_and_the_guard_counts_both(embedded: Start) -> None:
    broker = embedded({"events": 1})
    producer = new_producer(broker.bootstrap_servers, **{"message.max.bytes": 4_000_000})
    for _ in range(2):
        producer.produce("events", VALUE * 3000, partition=0)
        assert producer.flush(DEADLINE_S) == 0
    with RetentionGuard(broker.bootstrap_servers) as guard:
        assert guard.lost("events", 0, 0) == 2


def test_the_guard_raises_naming_each_partition_and_its_number(embedded: Start) -> None:
    broker = embedded({"events": 2})
    produce(broker.bootstrap_servers, "events", 6000, partition=1)
    with RetentionGuard(broker.bootstrap_servers) as guard:
        lost = guard.lost("events", 1, 0)
        guard.check({("events", 0): 0, ("events", 1): lost})
        with pytest.raises(InvariantError, match=rf"dropped {lost - 7} records .*events\[1\]: {lost - 7}\)"):
            guard.check({("events", 0): 0, ("events", 1): 7})


def test_the_guard_compares_with_what_a_group_has_committed(embedded: Start, closing: Closing) -> None:
    broker = embedded({"events": 2})
    consumer = closing(new_consumer(broker.bootstrap_servers, "workers"))
    produce(broker.bootstrap_servers, "events", 6000)
    with RetentionGuard(broker.bootstrap_servers, ["events"], "workers") as guard:
        assert guard.committed() == {("events", 0): 0, ("events", 1): 0}
        with pytest.raises(InvariantError, match=r"events\[0\]"):
            guard.check(guard.committed())
        consumer.commit(offsets=[TopicPartition("events", 0, 6000)], asynchronous=False)
        assert guard.committed() == {("events", 0): 6000, ("events", 1): 0}
        guard.check(guard.committed())


def test_the_guard_names_a_topic_that_does_not_exist(embedded: Start) -> None:
    broker = embedded({"events": 1})
    with RetentionGuard(broker.bootstrap_servers, ["misspelt"]) as guard, pytest.raises(TopicsError, match="misspelt"):
        guard.check(guard.committed())


def test_the_guard_says_so_when_the_broker_is_gone() -> None:
    with EmbeddedBroker({"events": 1}) as broker:
        address = broker.bootstrap_servers
    with RetentionGuard(address, ["events"], timeout_s=0.3) as guard:
        for question in (lambda: guard.lost("events", 0, 0), guard.committed):
            with pytest.raises(BrokerUnreachableError, match=r"within 0.3 s"):
                question()

"""A topic read once to its end, from its beginning or from a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import chain

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_server import KafkaServer

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.read_to_end import read_messages, read_to_end
from stream.settings import Settings

HOUR_MS = 3_600_000


def produce(bootstrap_servers: str, times_ms: list[int]) -> None:
    """One record an hour into each of two partitions; the value is its number."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for partition in (0, 1):
        for n, time_ms in enumerate(times_ms):
            producer.produce("hours", str(n).encode(), partition=partition, timestamp=time_ms)
            assert producer.flush(20) == 0  # a batch of its own: Kafka's index of times is by batch


def read(bootstrap_servers: str, since_ms: int | None) -> list[int]:
    settings = Settings(bootstrap_servers=bootstrap_servers)
    batches = read_to_end(settings, "hours", since_ms=since_ms)
    return sorted(int(record.value or b"") for record in chain.from_iterable(batches))


def test_a_broker_that_knows_no_times_gives_all(embedded: Callable[[Mapping[str, int]], EmbeddedBroker]) -> None:
    broker = embedded({"hours": 2})
    now_ms = time.time_ns() // 1_000_000
    produce(broker.bootstrap_servers, [now_ms - n * HOUR_MS for n in range(3, 0, -1)])

    assert read(broker.bootstrap_servers, None) == read(broker.bootstrap_servers, now_ms) == [0, 0, 1, 1, 2, 2]


def test_spans_are_read_and_nothing_else(embedded: Callable[[Mapping[str, int]], EmbeddedBroker]) -> None:
    broker = embedded({"hours": 2})
    produce(broker.bootstrap_servers, [1_700_000_000_000] * 5)

    spans = {0: (1, 3), 1: (4, 4)}
    found = chain.from_iterable(
        read_messages(Settings(bootstrap_servers=broker.bootstrap_servers), "hours", spans=spans)
    )

    assert [(message.partition(), message.offset()) for message in found] == [(0, 1), (0, 2)]


def test_whoever_takes_the_records_may_be_slow(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = embedded({"hours": 2})
    produce(broker.bootstrap_servers, [1_700_000_000_000] * 3)
    now_s = [0.0]
    monkeypatch.setattr("stream.kafka.read_to_end.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("stream.kafka.read_to_end.BATCH_RECORDS", 1)
    n = 0
    for messages in read_messages(Settings(bootstrap_servers=broker.bootstrap_servers), "hours"):
        n += len(messages)
        now_s[0] += 1000  # far beyond connect_timeout_s
    assert n == 6


@pytest.mark.kafka
def test_kafka_gives_what_is_from_that_time_on(kafka: KafkaServer) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic("hours", 2, 1)])["hours"].result(30)
    now_ms = time.time_ns() // 1_000_000
    produce(kafka.bootstrap_servers, [now_ms - n * HOUR_MS for n in range(4, 0, -1)])

    assert read(kafka.bootstrap_servers, None) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert read(kafka.bootstrap_servers, now_ms - 2 * HOUR_MS) == [2, 2, 3, 3]
    assert read(kafka.bootstrap_servers, now_ms - 9 * HOUR_MS) == [0, 0, 1, 1, 2, 2, 3, 3]

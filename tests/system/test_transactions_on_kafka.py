"""Who may write to a partition, on Apache Kafka: only a broker can refuse a worker that does not know that it is late."""

from __future__ import annotations

import time
from itertools import count

import pytest
from kafka_server import KafkaServer
from worker_process import Topics

from stream.errors import DeliveryError, InvariantError
from stream.kafka.topics import create_topics
from stream.kafka.transactions import Keyed, PartitionWriters
from stream.settings import load_settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

_names = count()


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    topics = Topics(kafka.bootstrap_servers, f"w{next(_names)}-{time.time_ns():x}")
    create_topics(topics.settings)
    return topics


def content(topics: Topics, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(m.key(), m.value()) for m in topics.read(topic)]


def test_the_earlier_owner_of_a_partition_can_write_no_more(topics: Topics) -> None:
    changelog, deltas = topics.settings.changelog_topic, topics.settings.topic_item_deltas
    sleeper, owner = PartitionWriters(topics.settings), PartitionWriters(topics.settings)
    sleeper.claim(changelog, 0)
    sleeper.claim(changelog, 1)
    assert sleeper.write(changelog, 0, [(b"ann", b"1"), (b"bob", b"1")], [Keyed(deltas, b"cup", b"1")]) == 2, (
        "the marker"
    )
    owner.claim(changelog, 0)
    owner.write(changelog, 0, [(b"ann", b"2")], [Keyed(deltas, b"cup", b"2")])
    with pytest.raises(InvariantError, match="claimed by another worker"):
        sleeper.write(changelog, 0, [(b"ann", b"late")], [Keyed(deltas, b"cup", b"late")])
    sleeper.write(changelog, 1, [(b"cid", b"1")])  # this one is still its own
    assert content(topics, changelog) == [(b"ann", b"1"), (b"bob", b"1"), (b"ann", b"2"), (b"cid", b"1")]
    assert content(topics, deltas) == [(b"cup", b"1"), (b"cup", b"2")]


def test_what_an_owner_left_unfinished_is_never_seen_and_holds_nobody_up(topics: Topics) -> None:
    changelog = topics.settings.changelog_topic
    dead, owner = PartitionWriters(topics.settings), PartitionWriters(topics.settings)
    dead.claim(changelog, 0)
    producer = dead._claimed[changelog, 0]
    producer.begin_transaction()
    producer.produce(changelog, b"unfinished", b"ann", 0)
    assert producer.flush(60) == 0
    owner.claim(changelog, 0)
    owner.write(changelog, 0, [(b"bob", b"1")])
    assert content(topics, changelog) == [(b"bob", b"1")]


def test_only_what_is_claimed_may_be_written_to(topics: Topics) -> None:
    writers = PartitionWriters(topics.settings)
    with pytest.raises(InvariantError, match="not this worker's"):
        writers.write(topics.settings.changelog_topic, 0, [(b"ann", b"1")])
    writers.claim(topics.settings.changelog_topic, 0)
    writers.release(topics.settings.changelog_topic, 0)
    with pytest.raises(InvariantError, match="not this worker's"):
        writers.write(topics.settings.changelog_topic, 0, [(b"ann", b"1")])


def test_a_claim_without_a_broker_fails_within_the_deadline() -> None:
    writers = PartitionWriters(load_settings(bootstrap_servers="127.0.0.1:1", delivery_timeout_s=1.5))
    with pytest.raises(DeliveryError, match="could not be claimed"):
        writers.claim("changelog", 0)

"""Who may write to a partition, on Apache Kafka: only a broker can refuse a worker that does not know that it is late."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka_server import KafkaServer
from worker_process import Topics

from stream.errors import DeliveryError, InvariantError
from stream.kafka.log_ends import LogEnds
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


def writers_of(topics: Topics) -> PartitionWriters:
    return PartitionWriters(topics.settings, LogEnds(topics.settings).bounds_of)


def content(topics: Topics, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(m.key(), m.value()) for m in topics.read(topic)]


def test_the_earlier_owner_of_a_partition_can_write_no_more(topics: Topics) -> None:
    changelog, deltas = topics.settings.changelog_topic, topics.settings.topic_item_deltas
    sleeper, owner = writers_of(topics), writers_of(topics)
    sleeper.claim(changelog, [0])
    sleeper.claim(changelog, [1])
    assert sleeper.write(changelog, 0, [(b"ann", b"1"), (b"bob", b"1")], [Keyed(deltas, b"cup", b"1")]) == 2, (
        "the marker"
    )
    owner.claim(changelog, [0])
    owner.write(changelog, 0, [(b"ann", b"2")], [Keyed(deltas, b"cup", b"2")])
    with pytest.raises(InvariantError, match="claimed by another worker"):
        sleeper.write(changelog, 0, [(b"ann", b"late")], [Keyed(deltas, b"cup", b"late")])
    sleeper.write(changelog, 1, [(b"cid", b"1")])  # this one is still its own
    assert content(topics, changelog) == [(b"ann", b"1"), (b"bob", b"1"), (b"ann", b"2"), (b"cid", b"1")]
    assert content(topics, deltas) == [(b"cup", b"1"), (b"cup", b"2")]


def test_what_an_owner_left_unfinished_is_never_seen_and_holds_nobody_up(topics: Topics) -> None:
    changelog = topics.settings.changelog_topic
    dead, owner = writers_of(topics), writers_of(topics)
    dead.claim(changelog, [0])
    producer = dead._claimed[changelog, 0]
    producer.begin_transaction()
    producer.produce(changelog, b"unfinished", b"ann", 0)
    assert producer.flush(60) == 0
    owner.claim(changelog, [0])
    owner.write(changelog, 0, [(b"bob", b"1")])
    assert content(topics, changelog) == [(b"bob", b"1")]


def test_only_what_is_claimed_may_be_written_to(topics: Topics) -> None:
    writers = writers_of(topics)
    with pytest.raises(InvariantError, match="not this worker's"):
        writers.write(topics.settings.changelog_topic, 0, [(b"ann", b"1")])
    writers.claim(topics.settings.changelog_topic, [0])
    writers.release(topics.settings.changelog_topic, 0)
    with pytest.raises(InvariantError, match="not this worker's"):
        writers.write(topics.settings.changelog_topic, 0, [(b"ann", b"1")])


def test_a_claim_without_a_broker_fails_within_the_deadline() -> None:
    writers = PartitionWriters(
        load_settings(bootstrap_servers="127.0.0.1:1", delivery_timeout_s=1.5),
        lambda where: dict.fromkeys(where, (0, 0)),
    )
    with pytest.raises(DeliveryError, match="could not be claimed"):
        writers.claim("changelog", [0])


def test_what_somebodys_open_transaction_hides_is_not_behind(topics: Topics) -> None:
    """The watchdog ends a worker that is behind and applies nothing; nobody can apply what is not committed."""
    events = topics.settings.topic_events
    producer = Producer(
        {"bootstrap.servers": topics.settings.bootstrap_servers, "transactional.id": f"{events}-theirs"}
    )
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(events, b"{}", b"ann", 0)
    assert producer.flush(60) == 0
    readable = LogEnds(topics.settings, readable=True)
    assert (readable.bounds(events, 0), LogEnds(topics.settings).bounds(events, 0)) == ((0, 0), (0, 1))
    producer.commit_transaction(60)
    deadline = time.monotonic() + 60
    while readable.bounds(events, 0) != (0, 2):  # the marker comes a little later
        assert time.monotonic() < deadline
        time.sleep(0.05)


FORGETFUL = """transactional.id.expiration.ms=2000
transaction.remove.expired.transaction.cleanup.interval.ms=500
producer.id.expiration.ms=2000
producer.id.expiration.check.interval.ms=500
"""
FORGOTTEN_S = 7.0


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Topics]:
    """A broker that forgets in seconds what others forget in a week."""
    server = KafkaServer(tmp_path, FORGETFUL)
    server.start()
    topics = Topics(server.bootstrap_servers, "forgetful")
    create_topics(topics.settings)
    yield topics
    server.stop()


def test_a_partition_that_was_idle_until_the_broker_forgot_its_writer_is_claimed_again(forgetful: Topics) -> None:
    changelog = forgetful.settings.changelog_topic
    writers, other = writers_of(forgetful), writers_of(forgetful)
    writers.claim(changelog, range(3))
    writers.write(changelog, 0, [(b"ann", b"1")])
    time.sleep(FORGOTTEN_S)
    assert writers.write(changelog, 0, [(b"ann", b"2")]) == 3
    assert writers.write(changelog, 1, [(b"bob", b"1")]) == 1, "one that was never written to"
    assert writers.write(changelog, 0, [(b"ann", b"3")]) == 5
    # Forgotten, and then another's: whoever comes too late must see it, although both are asked the same way.
    other.claim(changelog, [2])
    other.write(changelog, 2, [(b"cid", b"theirs")])
    with pytest.raises(InvariantError, match="written by another worker"):
        writers.write(changelog, 2, [(b"cid", b"late")])
    assert sorted(content(forgetful, changelog)) == [
        (b"ann", b"1"), (b"ann", b"2"), (b"ann", b"3"), (b"bob", b"1"), (b"cid", b"theirs"),
    ]  # fmt: skip

"""Where partitions begin and end, asked for all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_server import KafkaServer

from stream.errors import BrokerUnreachableError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.log_ends import LogEnds, log_bounds
from stream.settings import Settings

DEADLINE_S = 30.0


def produce(bootstrap_servers: str, topic: str, partition: int, records: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for n in range(records):
        producer.produce(topic, str(n).encode(), partition=partition)
    assert producer.flush(DEADLINE_S) == 0


def test_partitions_of_several_topics_are_one_question(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker],
) -> None:
    broker = embedded({"a": 3, "b": 1})
    produce(broker.bootstrap_servers, "a", 2, 5)
    produce(broker.bootstrap_servers, "b", 0, 1)
    ends = LogEnds(Settings(bootstrap_servers=broker.bootstrap_servers))

    where = [("b", 0), ("a", 0), ("a", 2)]
    assert ends.bounds_of(where) == {("b", 0): (0, 1), ("a", 0): (0, 0), ("a", 2): (0, 5)}
    assert ends.bounds("a", 2) == (0, 5)
    assert ends.bounds_of([]) == {}
    ends.close()


class Electing:
    """A broker that answers so many times that nobody leads the partition, or with an error of one partition of two."""

    def __init__(self, refusals: int, code: int, *, whole: bool) -> None:
        self._left, self._code, self._whole = refusals, code, whole
        self.asked = 0

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.asked += 1
        assert timeout > 0
        if self._left > 0:
            self._left -= 1
            if self._whole:
                raise KafkaException(KafkaError(self._code))
            return [Answer(p.topic, p.partition, -1, KafkaError(self._code)) for p in partitions]  # type: ignore[misc]
        return [Answer(p.topic, p.partition, 7 if p.offset == -1 else 3, None) for p in partitions]  # type: ignore[misc]


class Answer:
    """A TopicPartition whose error can be set."""

    def __init__(self, topic: str, partition: int, offset: int, error: KafkaError | None) -> None:
        self.topic, self.partition, self.offset, self.error = topic, partition, offset, error


@pytest.mark.parametrize("whole", [True, False], ids=["of all", "of one partition"])
@pytest.mark.parametrize(
    "code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._UNKNOWN_PARTITION]
)
def test_a_partition_that_nobody_leads_for_a_moment_is_asked_of_again(code: int, whole: bool) -> None:
    electing = Electing(3, code, whole=whole)

    assert log_bounds(electing, [("a", 0), ("a", 1)], DEADLINE_S) == {("a", 0): (3, 7), ("a", 1): (3, 7)}  # type: ignore[arg-type]
    assert electing.asked == 5  # three refusals, then the two questions


def test_a_refusal_that_stays_is_told_at_once_and_one_that_passes_at_the_deadline() -> None:
    forbidden = Electing(1_000_000, KafkaError.TOPIC_AUTHORIZATION_FAILED, whole=True)
    with pytest.raises(KafkaException):
        log_bounds(forbidden, [("a", 0)], DEADLINE_S)  # type: ignore[arg-type]
    assert forbidden.asked == 1

    leaderless = Electing(1_000_000, KafkaError.LEADER_NOT_AVAILABLE, whole=True)
    with pytest.raises(KafkaException):
        log_bounds(leaderless, [("a", 0)], 0.2)  # type: ignore[arg-type]
    assert leaderless.asked > 1


def test_a_broker_that_does_not_answer_is_one_line_that_names_the_partitions() -> None:
    ends = LogEnds(Settings(bootstrap_servers="127.0.0.1:1", delivery_timeout_s=0.3))
    with pytest.raises(BrokerUnreachableError, match=r"the end of a partition 0 and 1 more is not known"):
        ends.bounds_of([("a", 0), ("a", 1)])
    ends.close()


@pytest.mark.kafka
def test_kafka_tells_of_a_topic_that_was_just_made_and_of_what_is_readable(kafka: KafkaServer) -> None:
    """That many partitions have leaders only some hundred milliseconds after the topic is said to be there."""
    boot, topic, partitions = kafka.bootstrap_servers, "many", 256
    admin = AdminClient({"bootstrap.servers": boot, "log_level": 0})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(DEADLINE_S)
    consumer = Consumer({"bootstrap.servers": boot, "group.id": "ends", "log_level": 0})
    where = [(topic, p) for p in range(partitions)]
    assert log_bounds(consumer, where, DEADLINE_S) == dict.fromkeys(where, (0, 0))

    left_open = Producer({"bootstrap.servers": boot, "transactional.id": "somebody", "log_level": 0})
    left_open.init_transactions(DEADLINE_S)
    left_open.begin_transaction()
    left_open.produce(topic, b"unfinished", partition=3)
    assert left_open.flush(DEADLINE_S) == 0
    produce(boot, topic, 3, 2)
    settings = Settings(bootstrap_servers=boot)
    very, readable = LogEnds(settings), LogEnds(settings, readable=True)
    assert (very.bounds(topic, 3), readable.bounds(topic, 3)) == ((0, 3), (0, 0))
    left_open.abort_transaction(DEADLINE_S)
    for client in (consumer, very, readable):
        client.close()

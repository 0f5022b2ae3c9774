"""A topic followed from where reading ended, on the embedded broker."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream.errors import TopicsError
from stream.kafka import follower as follower_module
from stream.kafka.follower import LogFollower
from stream.kafka.replica import Replicated
from stream.settings import load_settings

DEADLINE_S = 30


class Kept:
    """A taker in memory."""

    def __init__(self) -> None:
        self.records: dict[int, list[Replicated]] = {}
        self.positions: dict[int, int] = {}
        self.begun_anew = 0
        self.told = threading.Condition()

    def position(self, partition: int) -> int | None:
        return self.positions.get(partition)

    def take(self, partition: int, records: list[Replicated]) -> None:
        with self.told:
            self.records.setdefault(partition, []).extend(records)
            self.positions[partition] = records[-1].offset + 1
            self.told.notify_all()

    def begin_anew(self) -> None:
        self.begun_anew += 1
        self.records.clear()
        self.positions.clear()

    def until(self, count: int) -> None:
        with self.told:
            assert self.told.wait_for(lambda: sum(map(len, self.records.values())) >= count, DEADLINE_S)


def sent(servers: str, first: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    for n in range(first, first + count):
        producer.produce("t", str(n).encode(), str(n).encode())
    assert producer.flush(DEADLINE_S) == 0


def follower(servers: str, kept: Kept, failed: list[BaseException], topic: str = "t") -> LogFollower:
    settings = load_settings(bootstrap_servers=servers, connect_timeout_s=DEADLINE_S)
    made = LogFollower(settings, topic, kept, failed.append)
    made.start()
    return made


def test_everything_is_taken_once_in_order_and_a_restart_goes_on(embedded):
    servers = embedded({"t": 3}).bootstrap_servers
    failed: list[BaseException] = []
    sent(servers, 0, 500)
    kept = Kept()
    first = follower(servers, kept, failed)
    kept.until(500)
    assert first.has_caught_up.wait(DEADLINE_S)
    first.stop()
    sent(servers, 500, 200)
    second = follower(servers, kept, failed)
    kept.until(700)
    assert second.has_caught_up.wait(DEADLINE_S)
    sent(servers, 700, 10)
    kept.until(710)
    second.stop()
    assert sorted(int(r.key or b"") for records in kept.records.values() for r in records) == list(range(710))
    for records in kept.records.values():
        assert [r.offset for r in records] == list(range(len(records)))
    assert failed == []


def test_a_topic_that_was_made_again_is_read_from_its_beginning(embedded):
    servers = embedded({"t": 1}).bootstrap_servers
    failed: list[BaseException] = []
    sent(servers, 0, 5)
    kept = Kept()
    kept.positions[0] = 1_000
    running = follower(servers, kept, failed)
    kept.until(5)
    running.stop()
    assert kept.begun_anew == 1
    assert [r.offset for r in kept.records[0]] == list(range(5))


def test_an_empty_topic_has_been_read(embedded):
    servers = embedded({"t": 2}).bootstrap_servers
    failed: list[BaseException] = []
    running = follower(servers, Kept(), failed)
    assert running.has_caught_up.wait(DEADLINE_S)
    running.stop()
    assert failed == []


def test_a_topic_that_is_not_there_ends_it_with_what_to_do(embedded):
    servers = embedded({"t": 1}).bootstrap_servers
    told = threading.Event()
    failed: list[BaseException] = []

    def on_failed(error: BaseException) -> None:
        failed.append(error)
        told.set()

    settings = load_settings(bootstrap_servers=servers)
    LogFollower(settings, "nowhere", Kept(), on_failed).start()
    assert told.wait(DEADLINE_S)
    assert isinstance(failed[0], TopicsError)
    assert "topics create" in str(failed[0])


# --- a topic that is made again while it is followed ---


class Message:
    """A record as librdkafka hands it over."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return b"k"

    value = key

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class Broker:
    """A topic of one partition that can be deleted and made again."""

    def __init__(self, records: int) -> None:
        self.records, self.is_there = records, True

    def bounds(self, *_: object) -> dict[tuple[str, int], tuple[int, int]]:
        return {("t", 0): (0, self.records)}

    def consumer(self, _: object) -> BrokersConsumer:
        return BrokersConsumer(self)


class BrokersConsumer:
    """As `auto.offset.reset=earliest`: from an offset that is not there it goes to the beginning."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._at = broker, 0

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        there = {0: None} if self._broker.is_there else {}
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=there)})

    def assign(self, where: list[TopicPartition]) -> None:
        self._at = where[0].offset

    def position(self, where: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition("t", 0, self._at)]

    def poll(self, timeout: float) -> Message | None:
        if not self._broker.is_there:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        if self._at > self._broker.records:
            self._at = 0
        if self._at == self._broker.records:
            threading.Event().wait(0.001)
            return None
        self._at += 1
        return Message(self._at - 1)

    def consume(self, n: int, timeout: float) -> list[Message]:
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def broker_of_one(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker(5)
    monkeypatch.setattr(follower_module, "Consumer", made.consumer)
    monkeypatch.setattr(follower_module, "log_bounds", made.bounds)
    monkeypatch.setattr(follower_module, "REOPEN_S", 0.01)
    return made


def test_a_topic_that_is_made_again_while_it_is_followed_is_read_from_its_beginning(broker_of_one: Broker):
    kept, failed = Kept(), []
    running = follower("127.0.0.1:1", kept, failed)
    assert running.has_caught_up.wait(DEADLINE_S)
    kept.until(5)
    broker_of_one.records = 3  # the old records are gone
    with kept.told:
        assert kept.told.wait_for(lambda: kept.begun_anew and len(kept.records.get(0, ())) == 3, DEADLINE_S)
    assert running.has_caught_up.wait(DEADLINE_S)
    running.stop()
    assert [r.offset for r in kept.records[0]] == [0, 1, 2]
    assert (kept.begun_anew, failed) == (1, [])


def test_while_a_topic_is_not_there_for_a_moment_its_follower_lives(broker_of_one: Broker):
    kept, failed = Kept(), []
    running = follower("127.0.0.1:1", kept, failed)
    assert running.has_caught_up.wait(DEADLINE_S)
    looked = threading.Event()
    real = BrokersConsumer.list_topics

    def noticing(self: BrokersConsumer, topic: str, timeout: float) -> SimpleNamespace:
        if not broker_of_one.is_there:
            looked.set()
        return real(self, topic, timeout)

    BrokersConsumer.list_topics, broker_of_one.is_there = noticing, False
    try:
        assert looked.wait(DEADLINE_S)
        broker_of_one.is_there, broker_of_one.records = True, 9
        kept.until(9)
    finally:
        BrokersConsumer.list_topics = real
    running.stop()
    assert failed == []

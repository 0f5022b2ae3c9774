"""A topic followed from where reading ended, on the embedded broker."""

from __future__ import annotations

import threading

from confluent_kafka import Producer

from stream.errors import TopicsError
from stream.kafka.follower import GATHER_S, LogFollower, _next
from stream.kafka.replica import POLL_S, Replicated
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
    log = WrittenLog("a", "b", "c")

    assert _next(log, 100) == ["a", "b", "c"]
    assert log.waits_s == [POLL_S, GATHER_S], "the first wait ends with the first record"
    assert GATHER_S < POLL_S / 10


def test_what_is_beyond_a_batch_is_left_for_the_next() -> None:
    log = WrittenLog("a", "b", "c")

    assert _next(log, 2) == ["a", "b"]
    assert _next(log, 2) == ["c"]


def test_nothing_is_waited_for_once() -> None:
    log = WrittenLog()

    assert _next(log, 100) == []
    assert log.waits_s == [POLL_S]

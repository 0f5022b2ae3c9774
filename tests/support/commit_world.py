"""A committer between fakes that write down what is asked of them, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from kafka_records import event_record

from stream.errors import DeliveryError, InvariantError
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.settings import Settings, load_settings
from stream.storage.rocks import DataDirectory
from stream.worker.commit import Committer
from stream.worker.dead_letters import DeadLetters
from stream.worker.parts import WorkerParts
from stream.worker.tracker import Tracker
from stream.worker.worker import Worker

MIB = 1 << 20


class Sent(NamedTuple):
    """A record that was handed to the producer."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Broker:
    """Stands for producer, writers and consumer at once, and notes what it was asked, in order."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.steps, self.values = settings, [], []
        self.records: list[Sent] = []
        self.changelog_end = 7
        self.fail_flush = self.fail_write = False
        self.owner = self.member = True
        self.first = 0
        self.committed: int | None = None

    queued = 0

    def serve(self) -> None:
        """Everything was accepted."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int = -1,
        headers: Any = None,
        instead: Any = None,
    ) -> None:
        self.steps.append(("send", topic, key))
        self.records.append(Sent(topic, key, value, tuple(headers or ())))

    def sent(self, topic: str) -> list[Sent]:
        return [record for record in self.records if record.topic == topic]

    async def flush(self) -> None:
        self.steps.append(("flush",))
        if self.fail_flush:
            raise DeliveryError("refused")

    def write(self, topic: str, partition: int, values: Any, others: Any) -> int:
        if not self.owner:
            raise InvariantError("claimed by another worker")
        written = [(topic, key, value) for key, value in values] + [tuple(other) for other in others]
        self.values.extend(written)
        if self.fail_write:
            raise DeliveryError("refused")
        self.steps.append(("transaction", *((topic, key) for topic, key, _ in written)))
        self.changelog_end += sum(record[0] == topic for record in written)
        return self.changelog_end - 1

    def set_durable(self, offsets: dict[TopicPartition, int]) -> None:
        self.steps.append(("durable", dict(offsets)))

    async def commit(self) -> None:
        self.steps.append(("commit",))

    def start_offset(self, tp: TopicPartition) -> int | None:
        return 0

    def committed_offset(self, tp: TopicPartition) -> int | None:
        return self.committed

    async def first_offset(self, tp: TopicPartition) -> int:
        return self.first

    def log_end(self, tp: TopicPartition) -> int | None:
        return None

    def unapplied_bytes(self) -> int:
        return 0

    def is_member(self) -> bool:
        return self.member

    async def seek(self, tp: TopicPartition, offset: int) -> None:
        self.steps.append(("seek", tp.partition, offset))


class World:
    def __init__(self, path: Path) -> None:
        self.settings = load_settings(keep_contributions=False, data_dir=path)
        self.directory = DataDirectory(path, 8 * MIB, 8 * MIB)
        self.stores = self.directory.stores("users")
        self.store = self.stores[0]
        self.tracker = Tracker(self.settings, Metrics())
        self.users = self.tracker.users[0] = self.tracker.new_users(0, self.store)
        self.broker = Broker(self.settings)
        made: Any = self.broker
        consumer: Callable[[], Any] = lambda: made  # noqa: E731
        self.committer = Committer(self.settings, Metrics(), self.tracker, made, consumer, made.write)

    def worker(self) -> Worker:
        """A worker over all this, in generation 1 and with its replicas read."""
        membership: Any = SimpleNamespace(consumer=self.broker, generation=1)
        made: Any = self.broker
        return Worker(
            WorkerParts(
                self.settings,
                Metrics(),
                self.tracker,
                self.committer,
                made,
                DeadLetters(self.settings, Metrics(), made),
                self.directory,
                self.stores,
                self.stores,
                membership,
                lambda: True,
            )
        )

    def events(self, *users: str) -> None:
        start = self.users.next_offset or 0
        records = [event_record(start + i, user, action="click", item_id="cup") for i, user in enumerate(users)]
        self.tracker.apply(self.users, self.tracker.read(self.users, records), 0.0)
        self.users.next_offset = start + len(records)

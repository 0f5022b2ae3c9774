"""Partitions read one after another to an end that is whole: where no transaction is open, and nothing that was compacted away
while they were read is missing.

Kafka compacts a topic while it is read. A record that goes does so because a later one of its key is there by then. So a
partition is read on until it has been read to where it ends *after* the last record of it was read: whatever went on the way
has its successor before that end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.backup.archive import Kept
from stream.errors import BrokerUnreachableError, TopicsError
from stream.kafka.log_ends import LogEnds
from stream.kafka.logs import unreachable
from stream.kafka.refusals import ENDS_READING
from stream.settings import Settings

BATCH_RECORDS: Final = 5_000
QUEUED_KB: Final = 16 << 10
_POLL_S: Final = 0.1
_ENDS: Final = ENDS_READING | {KafkaError._AUTO_OFFSET_RESET}


class PartitionReader:
    """A context manager. Every method blocks and raises BrokerUnreachableError where nothing arrives for
    `connect_timeout_s`, or TopicsError where a topic cannot be read."""

    def __init__(self, settings: Settings, check: Callable[[], None] = lambda: None) -> None:
        """`check` is asked between batches, and raises where reading is to end."""
        self._settings, self._check = settings, check
        self._readable, self._written = LogEnds(settings, readable=True), LogEnds(settings)
        self._consumer = Consumer(
            settings.client_config("backup")
            | {
                "group.id": f"{settings.group_id}-backup",  # required by librdkafka; never joined, never committed
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "queued.max.messages.kbytes": QUEUED_KB,
                "message.max.bytes": max(settings.fetch_max_bytes, 1_000_000),
            }
        )
        self.position = 0
        """Of the partition that was read last: everything before it has been read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._consumer.close()
        self._readable.close()
        self._written.close()

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The oldest offset, and the end of what may be read."""
        return self._readable.bounds(topic, partition)

    def offset_at(self, topic: str, partition: int, time_ms: int, end: int) -> int:
        """The first offset of a record that is as young or younger; `end` where there is none."""
        try:
            (found,) = self._consumer.offsets_for_times(
                [TopicPartition(topic, partition, max(0, time_ms))], timeout=self._settings.connect_timeout_s
            )
        except KafkaException as error:
            raise unreachable(self._settings, error) from None
        return end if found.offset < 0 else int(found.offset)

    def settled_end(self, topic: str, partition: int) -> int:
        """An end before which everything that was written before this call may be read, or was undone."""
        _, written = self._written.bounds(topic, partition)
        deadline = time.monotonic() + self._settings.delivery_timeout_s
        while True:
            _, readable = self._readable.bounds(topic, partition)
            if readable >= written:
                return readable
            self._check()
            if time.monotonic() > deadline:
                raise BrokerUnreachableError(
                    f"{topic} partition {partition}: a transaction is open for {self._settings.delivery_timeout_s:g} s.",
                    "start a worker, which ends what another one left open, or wait for its transaction.timeout.ms",
                )
            time.sleep(_POLL_S)

    def read_all(self, topic: str, partition: int) -> Iterator[list[Kept]]:
        """Of a compacted partition everything that counts, from its beginning; `position` is its end then."""
        end = self.settled_end(topic, partition)
        start, _ = self.bounds(topic, partition)
        yield from self.read_span(topic, partition, start, end)
        while self.position < (end := self.bounds(topic, partition)[1]):
            yield from self.read_span(topic, partition, self.position, end)

    def read_span(self, topic: str, partition: int, start: int, end: int) -> Iterator[list[Kept]]:
        """What lies from `start` to before `end`."""
        self.position = start
        if start >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        moved_at = time.monotonic()
        try:
            while self.position < end:
                self._check()
                records = [
                    _kept(m) for m in self._consumer.consume(BATCH_RECORDS, _POLL_S) if self._is_record(topic, m)
                ]
                if kept := [record for record in records if record.offset < end]:
                    yield kept
                # Positions, not records: the end of a transaction is passed without a record.
                (at,) = self._consumer.position([TopicPartition(topic, partition)])
                if at.offset > self.position:
                    self.position, moved_at = min(at.offset, end), time.monotonic()
                elif time.monotonic() - moved_at > self._settings.connect_timeout_s:
                    raise BrokerUnreachableError(
                        f"nothing more of topic {topic} partition {partition} arrives.", "see `penchant doctor`"
                    )
        except KafkaException as error:
            raise unreachable(self._settings, error) from None
        finally:
            self._consumer.unassign()

    def _is_record(self, topic: str, message: Message) -> bool:
        """False of an error that librdkafka retries itself."""
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in _ENDS:
            raise TopicsError(f"topic {topic} cannot be read: {error.str()}.", "give this user READ on the topic")
        return False


def committed_offsets(settings: Settings, topic: str, partitions: int) -> dict[int, int]:
    """The group's, of those partitions that have one.

    Raises:
        BrokerUnreachableError: the broker does not tell.
    """
    config = settings.client_config("backup") | {"group.id": settings.group_id, "enable.auto.commit": False}
    consumer = Consumer(config)
    try:
        found = consumer.committed(
            [TopicPartition(topic, partition) for partition in range(partitions)], timeout=settings.connect_timeout_s
        )
    except KafkaException as error:
        raise BrokerUnreachableError(
            f"the offsets of group {settings.group_id} are not told: {error.args[0].str()}.",
            "give this user DESCRIBE on the group, and see `penchant doctor`",
        ) from None
    finally:
        consumer.close()
    return {each.partition: each.offset for each in found if each.offset >= 0}


def _kept(message: Message) -> Kept:
    return Kept(message.offset(), message.timestamp()[1], message.key(), message.value())

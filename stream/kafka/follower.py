"""A topic followed from where reading ended last time, for tables that are kept on this machine's disk.

A thread of its own reads every partition and hands what it read to `take`, in that thread, partition by partition in the order
of the log. Of records that a transaction aborted nothing is seen. Unlike `TopicReplica` it does not begin at the beginning.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.errors import TopicsError, UsageError
from stream.kafka.log_ends import log_bounds
from stream.kafka.refusals import refused
from stream.kafka.replica import (
    BATCH_BYTES,
    FIRST_BATCH_RECORDS,
    FULL_QUEUE_WAIT_MS,
    REOPEN_S,
    Replicated,
    next_batch_records,
    next_messages,
    replicated,
)
from stream.settings import Settings

logger = logging.getLogger(__name__)

GATHER_S: Final = 0.002
"""After the first record: as long for more of them to come, so that one write is of several."""

LOOK_FOR_PARTITIONS_S: Final = 30.0
"""How often it is asked whether the topic has grown."""

OnFailed = Callable[[BaseException], None]


class Taker(Protocol):
    """Where records go. Called from the follower's thread only."""

    def position(self, partition: int) -> int | None:
        """Offset of the next record that is wanted; None: nothing is kept yet."""
        ...

    def take(self, partition: int, records: list[Replicated]) -> None:
        """The next records of a partition."""
        ...

    def begin_anew(self) -> None:
        """The topic was made again: whatever is kept is of another one."""
        ...


class LogFollower:
    """Feeds a `Taker` with everything in `topic` that it has not had, and then with everything new."""

    def __init__(self, settings: Settings, topic: str, taker: Taker, on_failed: OnFailed) -> None:
        """`on_failed` is called, in the follower's thread, with what ended it."""
        self._settings, self.topic, self._taker, self._on_failed = settings, topic, taker, on_failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follower-{topic}", daemon=True)
        self.positions: dict[int, int] = {}
        """By partition: everything before it has been taken. Replaced, never changed."""
        self.has_caught_up = threading.Event()
        """Set while everything that was in the topic at the start has been taken; not while one that was made again is read."""
        self._has_begun = False
        """It has caught up once: whatever goes wrong from then on is waited for."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End after the batch that is being taken; waits so long at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                consumer = Consumer(self._config())
                try:
                    self._follow(consumer)
                except (KafkaException, UsageError) as error:  # while a topic is made again it is not there
                    if not self._has_begun:
                        if isinstance(error, KafkaException):
                            raise refused(self.topic, error) from error
                        raise
                    logger.warning(
                        "reading %s: %s (begun again; nothing to do if it stays away briefly)", self.topic, error
                    )
                    self._stop.wait(REOPEN_S)
                finally:
                    consumer.close()
        except Exception as error:  # noqa: BLE001  (the thread's edge: whatever it is must end the process, not the thread)
            if not self._stop.is_set():
                self._on_failed(error)

    def _config(self) -> dict[str, object]:
        return self._settings.client_config("follower") | {
            "group.id": f"{self._settings.group_id}-follower",  # required by librdkafka; never joined, never committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": self._settings.fetch_max_wait_ms,
            "queued.max.messages.kbytes": BATCH_BYTES >> 10,
            "fetch.queue.backoff.ms": FULL_QUEUE_WAIT_MS,
            "message.max.bytes": max(self._settings.fetch_max_bytes, 1_000_000),
        }

    def _follow(self, consumer: Consumer) -> None:
        remaining: dict[int, int] | None = self._assign(consumer)
        batch_records, looked = FIRST_BATCH_RECORDS, time.monotonic()
        while not self._stop.is_set():
            if remaining is not None and all(self.positions.get(p, 0) >= end for p, end in remaining.items()):
                remaining, self._has_begun = None, True
                self.has_caught_up.set()
            if time.monotonic() - looked > LOOK_FOR_PARTITIONS_S:
                looked = time.monotonic()
                self._take_up_partitions(consumer)
            batch = [
                record
                for record in map(replicated, next_messages(consumer, batch_records, GATHER_S))
                if record is not None
            ]
            if any(record.offset < self.positions.get(record.partition, 0) for record in batch):
                self._begin_anew()
                return
            if batch:
                batch_records = next_batch_records(batch)
                self._hand_over(batch)
            self._note_positions(consumer)

    def _hand_over(self, batch: list[Replicated]) -> None:
        of: dict[int, list[Replicated]] = {}
        for record in batch:
            of.setdefault(record.partition, []).append(record)
        for partition, records in of.items():
            self._taker.take(partition, records)

    def _note_positions(self, consumer: Consumer) -> None:
        # Of the consumer, not of records: what was aborted or compacted away is passed without a record.
        asked = [TopicPartition(self.topic, p) for p in self.positions]
        found = {each.partition: each.offset for each in consumer.position(asked) if each.offset >= 0}
        self.positions = self.positions | found

    def _assign(self, consumer: Consumer) -> dict[int, int]:
        """Take every partition from where it is wanted; `{partition: end now}` of those with records."""
        timeout_s = self._settings.connect_timeout_s
        partitions = sorted(consumer.list_topics(self.topic, timeout=timeout_s).topics[self.topic].partitions)
        if not partitions:
            raise TopicsError(f"topic {self.topic} does not exist.", "run `penchant topics create`")
        bounds = log_bounds(consumer, [(self.topic, p) for p in partitions], timeout_s)
        wanted = {p: self._taker.position(p) for p in partitions}
        if any(at is not None and at > bounds[self.topic, p][1] for p, at in wanted.items()):
            self._begin_anew()
            wanted = dict.fromkeys(partitions)
        starts = {p: max(bounds[self.topic, p][0], at or 0) for p, at in wanted.items()}
        self.positions = starts
        consumer.assign([TopicPartition(self.topic, p, at) for p, at in starts.items()])
        return {p: high for (_, p), (low, high) in bounds.items() if high > low}

    def _begin_anew(self) -> None:
        logger.warning(
            "topic %s was made again: what is kept of it is dropped, and it is read from its beginning. "
            "Nothing to do if that was meant",
            self.topic,
        )
        self.has_caught_up.clear()
        self._taker.begin_anew()

    def _take_up_partitions(self, consumer: Consumer) -> None:
        partitions = (
            consumer.list_topics(self.topic, timeout=self._settings.connect_timeout_s).topics[self.topic].partitions
        )
        more = sorted(set(partitions) - set(self.positions))
        if more:
            logger.info("topic %s has %d partitions now", self.topic, len(partitions))
            starts = {p: self._taker.position(p) or 0 for p in more}
            self.positions = self.positions | starts
            consumer.incremental_assign([TopicPartition(self.topic, p, at) for p, at in starts.items()])

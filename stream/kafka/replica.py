"""A compacted topic read whole by every worker: the catalogue and the item statistics.

A thread of its own reads all partitions from the beginning and goes on following them; what it reads is handed to the
event loop in batches. Faust's GlobalTable is not used: its recovery is known not to end (faust#432).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from stream.errors import BrokerUnreachableError, StuckError, TopicsError, UsageError
from stream.kafka.log_ends import log_bounds
from stream.kafka.refusals import ENDS_READING, refused
from stream.kafka.throttled import OnThrottled, telling
from stream.settings import Settings

logger = logging.getLogger(__name__)

FIRST_BATCH_RECORDS = 8
BATCH_RECORDS = 500
BATCH_BYTES = 8 << 20
"""What a batch should hold at most, judged by the records of the one before."""

FULL_QUEUE_WAIT_MS = 10
"""Until a full queue is looked at again; librdkafka's own second reads a large topic 2.5 times slower."""

POLL_S = 0.2
GATHER_S = 0.02
"""After the first record: as long for more of them to come, so that there are not too many batches."""

TOLD_EVERY_S = 10.0
REOPEN_S = 1.0
MAX_BATCHES_AHEAD = 4
"""Batches the thread may be ahead of the event loop; then it waits."""


class Replicated(NamedTuple):
    """One record of a compacted topic; `value` None = removed."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp_ms: int


Apply = Callable[[list[Replicated]], None]
Known = Callable[[], Iterable[bytes]]
Fatal = Callable[[BaseException], Awaitable[None]]


class TopicReplica:
    """Feeds `apply`, on the event loop, with everything in `topic`, and then with everything new."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        apply: Apply,
        fatal: Fatal,
        known: Known | None = None,
        on_throttled: OnThrottled | None = None,
    ) -> None:
        """`known`: keys of all that is known of the topic. Those that a log which takes the place of this one lacks are then
        applied as removed; None: they are kept."""
        self._settings, self.topic, self._on_throttled = settings, topic, on_throttled
        self._apply, self._fatal, self._known = apply, fatal, known
        self._stop, self._anew = threading.Event(), threading.Event()
        self._has_read_all = False
        self._partitions = self._wanted_partitions = 0
        self._ahead = threading.Semaphore(MAX_BATCHES_AHEAD)
        self.applied_records = 0
        self.caught_up = asyncio.Event()
        """Set once everything that was in the topic at start has been applied."""

    def start(self) -> None:
        """Start reading; to be called on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"replica-{self.topic}", daemon=True)
        self._thread.start()

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Stop reading; what was read but not applied is dropped (it is read again at the next start)."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, timeout_s)

    def begin_anew(self) -> None:
        """The topic was made again: read it from its beginning. Until that is done what was known serves."""
        self._anew.set()

    def follow_partitions(self, partitions: int) -> None:
        """The topic has so many by now."""
        self._wanted_partitions = max(self._wanted_partitions, partitions)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                consumer = Consumer(self._config())
                try:
                    self._follow(consumer)
                except (KafkaException, UsageError) as error:
                    if not self._has_read_all:
                        if isinstance(error, KafkaException):
                            raise refused(self.topic, error) from error
                        raise
                    # While a topic is made again it is not there. If it stays away, whoever looks at all topics tells.
                    logger.warning(
                        "reading %s: %s (begun again). Nothing to do if it is away briefly", self.topic, error
                    )
                    self._stop.wait(REOPEN_S)
                finally:
                    consumer.close()
        except Exception as error:  # noqa: BLE001  (the thread's edge: whatever it is must stop the worker, not the thread)
            self._schedule(self._crash, error)

    def _config(self) -> dict[str, Any]:
        return (
            self._settings.client_config("replica")
            | telling(self._on_throttled)
            | {
                "group.id": f"{self._settings.group_id}-replica",  # required by librdkafka; never joined, never committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": False,
                "fetch.wait.max.ms": self._settings.fetch_max_wait_ms,
                "queued.max.messages.kbytes": BATCH_BYTES >> 10,
                "fetch.queue.backoff.ms": FULL_QUEUE_WAIT_MS,
                "message.max.bytes": max(self._settings.fetch_max_bytes, 1_000_000),
            }
        )

    def _follow(self, consumer: Consumer) -> None:
        """From the beginning of the log, until stopped or asked to begin anew."""
        self._anew.clear()
        remaining: dict[int, int] | None = self._assign(consumer)
        found: set[bytes] | None = set() if self._has_read_all and self._known is not None else None
        batch_records = FIRST_BATCH_RECORDS
        while not self._stop.is_set() and not self._anew.is_set():
            if remaining is not None and self._reached(consumer, remaining):
                remaining, self._has_read_all = None, True
                if found is not None:
                    self._schedule(self._remove_all_but, found)
                    found = None
                self._schedule(self.caught_up.set)
            if self._wanted_partitions > self._partitions:
                self._take_up_partitions(consumer)
            messages = next_messages(consumer, batch_records, GATHER_S)
            batch = [record for record in map(replicated, messages) if record is not None]
            if batch:
                batch_records = next_batch_records(batch)
                if found is not None:
                    found.update(record.key for record in batch if record.key is not None)
                self._hand_over(batch)

    def _assign(self, consumer: Consumer) -> dict[int, int]:
        """Take every partition from its beginning; `{partition: end offset now}` of those that are not empty."""
        try:
            return self._try_to_assign(consumer)
        except KafkaException as error:
            raise BrokerUnreachableError(
                f"topic {self.topic} cannot be read: {error.args[0].str()}.", "see `penchant doctor`"
            ) from error

    def _try_to_assign(self, consumer: Consumer) -> dict[int, int]:
        timeout_s = self._settings.connect_timeout_s
        metadata = consumer.list_topics(self.topic, timeout=timeout_s)
        partitions = sorted(metadata.topics[self.topic].partitions)
        if not partitions:
            raise TopicsError(f"topic {self.topic} does not exist.", "run `penchant topics create`")
        # Before it reads: afterwards a question would wait behind its fetch.
        bounds = log_bounds(consumer, [(self.topic, p) for p in partitions], timeout_s)
        consumer.assign([TopicPartition(self.topic, p, 0) for p in partitions])
        self._partitions = len(partitions)
        self._wanted_partitions = max(self._wanted_partitions, self._partitions)
        return {partition: high for (_, partition), (low, high) in bounds.items() if high > low}

    def _take_up_partitions(self, consumer: Consumer) -> None:
        consumer.list_topics(self.topic, timeout=self._settings.connect_timeout_s)  # else it does not know of them yet
        more = range(self._partitions, self._wanted_partitions)
        logger.info("topic %s has %d partitions now, not %d", self.topic, self._wanted_partitions, self._partitions)
        consumer.incremental_assign([TopicPartition(self.topic, p, 0) for p in more])
        self._partitions = self._wanted_partitions

    def _remove_all_but(self, found: set[bytes]) -> None:
        """The new log is read: what it lacks is gone."""
        known = [] if self._known is None else self._known()
        gone = [Replicated(key, None, 0, 0, 0) for key in known if key not in found]
        logger.warning(
            "topic %s was made again: it has %d keys, %d are gone. Nothing to do if that was meant",
            *(self.topic, len(found), len(gone)),
        )
        for start in range(0, len(gone), BATCH_RECORDS):
            self._loop.call_soon(self._apply_or_crash, gone[start : start + BATCH_RECORDS])

    def _reached(self, consumer: Consumer, ends: dict[int, int]) -> bool:
        positions = consumer.position([TopicPartition(self.topic, p) for p in ends])
        return all(position.offset >= ends[position.partition] for position in positions)

    def _hand_over(self, batch: list[Replicated]) -> None:
        while not self._ahead.acquire(timeout=POLL_S):
            if self._stop.is_set():
                return
        self._schedule(self._apply_now, batch)

    def _apply_now(self, batch: list[Replicated]) -> None:
        self._apply_or_crash(batch)
        self._ahead.release()

    def _apply_or_crash(self, batch: list[Replicated]) -> None:
        try:
            self._apply(batch)
            self.applied_records += len(batch)
        except Exception as error:  # noqa: BLE001  (the callback's edge: a bug in `apply` must stop the worker)
            self._crash(error)

    def _crash(self, error: Exception) -> None:
        self._crashing = asyncio.ensure_future(self._fatal(error))

    def _schedule(self, callback: Callable[..., object], *args: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)


async def read_whole(replicas: Sequence[TopicReplica], stalled_s: float) -> None:
    """Returns when all of them have read what was in their topics at the start, however long that takes while it goes on.

    Raises:
        StuckError: nothing was read for `stalled_s`.
    """
    reading = asyncio.gather(*(replica.caught_up.wait() for replica in replicas))
    reading.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio tells of it
    began = moved = told = time.monotonic()
    before = -1
    try:
        while not reading.done():
            await asyncio.wait([reading], timeout=POLL_S)
            now, applied = time.monotonic(), sum(replica.applied_records for replica in replicas)
            if applied != before:
                before, moved = applied, now
            elif now - moved > stalled_s and not reading.done():
                waiting = ", ".join(replica.topic for replica in replicas if not replica.caught_up.is_set())
                raise StuckError(f"nothing of {waiting} was read for {stalled_s:g} s, after {applied} records")
            if now - told > TOLD_EVERY_S:
                told = now
                logger.info("reading catalogue, statistics and models: %d records in %.0f s", applied, now - began)
    finally:
        reading.cancel()


def next_messages(consumer: Consumer, batch_records: int, gather_s: float) -> list[Message]:
    """What has come, waited for `POLL_S` at most, and with it what comes within `gather_s`.

    `consume` alone would wait for its whole timeout where there are fewer than `batch_records`, and somebody waits for each.
    """
    first = consumer.poll(POLL_S)
    return [] if first is None else [first, *consumer.consume(max(1, batch_records - 1), gather_s)]


def next_batch_records(batch: list[Replicated]) -> int:
    """Records to ask for next, so that batches stay small in bytes as well."""
    n_bytes = sum(len(record.value or b"") for record in batch)
    return max(1, min(BATCH_RECORDS, len(batch) * BATCH_BYTES // max(1, n_bytes)))


def replicated(message: Message) -> Replicated | None:
    """What a message brings; None: an error that ends by itself.

    Raises:
        KafkaException: an error that does not.
    """
    error = message.error()
    if error is None:
        return Replicated(message.key(), message.value(), message.partition(), message.offset(), message.timestamp()[1])
    if error.fatal() or error.code() in ENDS_READING:
        raise KafkaException(error)
    logger.warning("reading a replicated topic: %s (retried). Nothing to do if it is away briefly", error.str())
    return None

"""The one producer of a worker: idempotent, `acks=all`, and nothing counts as sent until the broker said so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import DeliveryError
from stream.kafka.throttled import OnThrottled, telling
from stream.settings import Settings

logger = logging.getLogger(__name__)

LINGER_MS = 5
ROOM_FOR_HEADERS_BYTES = 64 << 10
QUEUE_MAX_BYTES = 256 << 20
QUEUE_MAX_RECORDS = 1_000_000

TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE)

FIXES = {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise the topic's max.message.bytes",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give this user WRITE on the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "give this user IDEMPOTENT_WRITE on the cluster, or WRITE on the topic",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "give this user WRITE on transactional ids that begin with the group id",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "run `penchant topics create`",
    KafkaError._UNKNOWN_TOPIC: "run `penchant topics create`",
    KafkaError._MSG_TIMED_OUT: "see whether the brokers are up and have enough replicas in sync",
}
"""What to do about a record that was not accepted; nothing that depends on it was committed, so it is sent again."""

Headers = Sequence[tuple[str, bytes | None]]


def producer_config(settings: Settings, purpose: str) -> dict[str, Any]:
    """What every producer of a worker has in common; `purpose` is the end of its client id."""
    return settings.client_config(purpose) | {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": LINGER_MS,
        "compression.type": "lz4",
        "partitioner": settings.partitioner,
        # A dead letter is as large as the record that was read.
        "message.max.bytes": settings.fetch_max_bytes + ROOM_FOR_HEADERS_BYTES,
        "delivery.timeout.ms": int(settings.delivery_timeout_s * 1000),
        "queue.buffering.max.kbytes": QUEUE_MAX_BYTES >> 10,
        "queue.buffering.max.messages": QUEUE_MAX_RECORDS,
    }


class Record(NamedTuple):
    """What may be sent instead of a record that is too large for its topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class RecordProducer:
    """librdkafka behind three verbs: `send`, `serve`, `flush`. Used from the event loop's thread.

    Raises DeliveryError from any of them once a record was refused or timed out: from then on nothing that depends on
    the records sent may be committed, so the worker stops.
    """

    def __init__(self, settings: Settings, on_throttled: OnThrottled | None = None) -> None:
        self._deadline_s = settings.delivery_timeout_s
        self._failed: str | None = None
        self._producer = Producer(
            producer_config(settings, "writer")
            | telling(on_throttled)
            | {
                # A Python call per delivered record would cost more than the record; flush() tells of the good ones.
                "delivery.report.only.error": True,
                "on_delivery": self._on_delivery,
                "error_cb": self._on_error,
            }
        )

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int = -1,
        headers: Headers | None = None,
        instead: Record | None = None,
    ) -> None:
        """Queue one record; -1 lets the key choose the partition. Waits, within the deadline, for room in the queue.

        `instead` is sent should the broker find the record too large; without it that is a failure.
        """
        self._raise_if_failed()
        give_up = 0.0
        # The callback of one record stands in for that of all.
        own = {} if instead is None else {"on_delivery": partial(self._on_large_delivery, topic, instead)}
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=list(headers) if headers else None, **own)
            except BufferError:
                now = time.monotonic()
                give_up = give_up or now + self._deadline_s
                if now > give_up:
                    self._fail(f"no room to send to {topic} for {self._deadline_s:g} s")
                else:
                    self._producer.poll(0.05)
                self._raise_if_failed()
            except KafkaException as error:
                self._fail(_not_accepted(topic, error.args[0]))
                raise DeliveryError(self._failed) from error
            else:
                return

    def serve(self) -> None:
        """Let librdkafka deliver its errors; called often."""
        self._producer.poll(0)
        self._raise_if_failed()

    async def flush(self) -> None:
        """Return when everything sent so far is acknowledged; off the event loop, within the deadline."""
        left = await asyncio.to_thread(self._producer.flush, self._deadline_s)
        if left:
            self._fail(f"{left} records were not acknowledged within {self._deadline_s:g} s")
        self._raise_if_failed()

    @property
    def queued(self) -> int:
        """Records and requests not yet acknowledged."""
        return len(self._producer)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._fail(_not_accepted(str(message.topic()), error))

    def _on_large_delivery(self, topic: str, instead: Record, error: KafkaError | None, message: Message) -> None:
        """While the queue is polled or flushed, which goes on until what is sent here is acknowledged as well."""
        if error is None or error.code() not in TOO_LARGE:
            self._on_delivery(error, message)
            return
        logger.warning(
            "a record of %d bytes is too large for %s; its beginning is sent. Fix: raise max.message.bytes of the topic",
            *(len(message.value() or b""), topic),
        )
        try:
            self._producer.produce(topic, instead.value, instead.key, headers=list(instead.headers))
        except (BufferError, KafkaException) as why:
            self._fail(f"a record to {topic} was not accepted: {why}")

    def _on_error(self, error: KafkaError) -> None:
        logger.warning(
            "Kafka: %s. Nothing to do if it is away briefly; if it stays, see `penchant doctor`", error.str()
        )
        if error.fatal():
            self._fail(f"Kafka accepts no more records: {error.str()}")

    def _fail(self, why: str) -> None:
        """From now on; the first reason is the one told."""
        self._failed = self._failed or why

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise DeliveryError(self._failed)


def _not_accepted(topic: str, error: KafkaError) -> str:
    return f"a record to {topic} was not accepted: {error.str()}{fix_for(error)}"


def fix_for(error: KafkaError) -> str:
    """What to do about what a broker refused, to follow what it said; empty where that is all there is to say."""
    fix = FIXES.get(error.code())
    return "" if fix is None else f". Fix: {fix}"

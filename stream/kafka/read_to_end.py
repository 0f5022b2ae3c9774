"""A topic read once, from its beginning to where it ended when reading began. For commands; a worker follows topics."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from stream.errors import BrokerUnreachableError, TopicsError
from stream.kafka.log_ends import log_bounds
from stream.kafka.logs import unreachable
from stream.kafka.refusals import ENDS_READING
from stream.settings import Settings

BATCH_RECORDS: Final = 5000
_POLL_S: Final = 0.2


class Record(NamedTuple):
    """What `stream.worker.intake.read_chunk` reads of a record."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int
    """Kafka's, ms."""


def read_to_end(
    settings: Settings, topic: str, only: Collection[int] | None = None, since_ms: int | None = None
) -> Iterator[list[Record]]:
    """Everything that is in the topic now, partition by partition mixed, each in offset order; bounded memory.

    `only` these partitions; None: all. `since_ms`: nothing is missing whose Kafka timestamp is from then on; how much earlier
    it begins is the broker's choice.

    Raises:
        TopicsError: there is no such topic, or this user may not read it.
        BrokerUnreachableError: nothing arrived for `connect_timeout_s` though the end was not reached.
    """
    for messages in read_messages(settings, topic, only, since_ms):
        yield [Record(message.key(), message.value(), message.offset(), message.timestamp()[1]) for message in messages]


def read_messages(
    settings: Settings,
    topic: str,
    only: Collection[int] | None = None,
    since_ms: int | None = None,
    spans: Mapping[int, tuple[int, int]] | None = None,
) -> Iterator[list[Message]]:
    """The same as librdkafka has them, with partitions and headers; whoever takes them may be slow.

    `spans`: by partition the first offset to be read and the one before which reading ends, instead of what is there now.

    Raises:
        TopicsError, BrokerUnreachableError: as `read_to_end`.
    """
    consumer = Consumer(
        settings.client_config("read-to-end")
        | {
            "group.id": f"{settings.group_id}-training",  # required by librdkafka; never joined, never committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "message.max.bytes": max(settings.fetch_max_bytes, 1_000_000),
        }
    )
    try:
        held = _spans(consumer, settings, topic, only) if spans is None else spans
        ends = _assign(consumer, settings, topic, held, since_ms)
        moved_at = time.monotonic()
        positions: dict[int, int] = {}
        while ends:
            messages = [message for message in consumer.consume(BATCH_RECORDS, _POLL_S) if _is_record(message)]
            if messages:
                yield [message for message in messages if message.offset() < ends.get(message.partition(), 0)]
            # Positions, not records: what was aborted or compacted away is passed without a record.
            before = positions
            positions = {p.partition: p.offset for p in consumer.position([TopicPartition(topic, p) for p in ends])}
            ends = {partition: end for partition, end in ends.items() if positions[partition] < end}
            if messages or positions != before:
                moved_at = time.monotonic()  # after what was made of the records, which may have taken long
            elif time.monotonic() - moved_at > settings.connect_timeout_s:
                raise BrokerUnreachableError(
                    f"nothing more of topic {topic} arrives from {settings.bootstrap_servers}.", "see `penchant doctor`"
                )
    except KafkaException as error:
        raise unreachable(settings, error) from None
    finally:
        consumer.close()


def partitions_of(settings: Settings, topic: str) -> int:
    """How many partitions a topic has.

    Raises:
        TopicsError, BrokerUnreachableError: there is no such topic, or no broker answers.
    """
    config = settings.client_config("read-to-end") | {
        "group.id": f"{settings.group_id}-training",
        "enable.auto.commit": False,
    }
    with closing(Consumer(config)) as consumer:
        try:
            return len(_partitions(consumer, settings, topic))
        except KafkaException as error:
            raise unreachable(settings, error) from None


def _partitions(consumer: Consumer, settings: Settings, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=settings.connect_timeout_s).topics[topic].partitions
    if not found:
        raise TopicsError(
            f"topic {topic} does not exist.", "run `penchant topics create`, or name the topic in the settings"
        )
    return sorted(found)


def _spans(
    consumer: Consumer, settings: Settings, topic: str, only: Collection[int] | None
) -> dict[int, tuple[int, int]]:
    """All that the partitions hold now."""
    partitions = [p for p in _partitions(consumer, settings, topic) if only is None or p in only]
    bounds = log_bounds(consumer, [(topic, partition) for partition in partitions], settings.connect_timeout_s)
    return {partition: bound for (_, partition), bound in bounds.items()}


def _assign(
    consumer: Consumer, settings: Settings, topic: str, spans: Mapping[int, tuple[int, int]], since_ms: int | None
) -> dict[int, int]:
    """Take every partition from its beginning or that time; `{partition: end offset}` of those that hold something."""
    ends = {partition: high for partition, (low, high) in spans.items() if high > low}
    starts = {partition: spans[partition][0] for partition in ends}
    if since_ms is not None and ends:
        asked = [TopicPartition(topic, partition, max(0, since_ms)) for partition in ends]
        for found in consumer.offsets_for_times(asked, timeout=settings.connect_timeout_s):
            # Negative: nothing is that young, or the broker (the embedded one) does not know; then all is read.
            starts[found.partition] = max(starts[found.partition], found.offset)
    consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
    return ends


def _is_record(message: Message) -> bool:
    """False for an error that librdkafka retries itself."""
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in ENDS_READING:
        raise KafkaException(error)
    return False

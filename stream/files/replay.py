"""Files into topics: events at the pace at which they happened, or faster, and catalogue items. Thin around librdkafka.

Records are keyed by user (items by item) and placed by `partitioner`: murmur2 unless set otherwise, so that a key lands in
the partition where Java clients put it. The producer is idempotent and every record's delivery is awaited. The Kafka
timestamp is left to the client, which writes the moment of production: freshness is measured from it; `event_time` says when
things happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException, Producer

from stream.errors import BrokerUnreachableError, TopicsError
from stream.files.feed import MAX_SPEED, HoldBack, Pacer, Progress, ReplayReport, produce
from stream.files.mapping import EVENTS_AS_NAMED, ITEMS_AS_NAMED, Mapping
from stream.files.reading import BadRow, FileRecord, read_events, read_items, total_bytes
from stream.files.stopping import StoppableProducer, stop_signals
from stream.settings import Settings
from stream.wire.decode import DecodeLimits
from stream.wire.pseudonyms import KeyRing
from stream.wire.records import encode_sparse, event_decoder
from stream.wire.times import TimeUnit

_QUEUE_MAX_KBYTES: Final = 65_536


def replay(
    path: Path,
    mapping: Mapping = EVENTS_AS_NAMED,
    *,
    settings: Settings,
    limits: DecodeLimits,
    speed: float = MAX_SPEED,
    timezone: str = "UTC",
    time_unit: TimeUnit = "auto",
    time_pattern: str | None = None,
    format: str | None = None,  # noqa: A002  (the option's name)
    on_progress: Progress | None = None,
    hold_back: HoldBack | None = None,
    pseudonyms: KeyRing | None = None,
) -> ReplayReport:
    """Produce the events of a file to `settings.topic_events`, in file order.

    `limits` are the worker's. `speed` is how much faster than life: 3600 makes an hour a second, `MAX_SPEED` does not wait
    at all. `pseudonyms`: what stands in the place of the file's user ids; None: they do themselves.

    Raises:
        InputFileError: as `read_events`.
        BrokerUnreachableError, TopicsError: no broker answers, or it has no such topic.
        DeliveryError: the producer is broken for good, or its queue stays full for `delivery_timeout_s`.
    """
    rows = read_events(
        path,
        mapping,
        limits=limits,
        now_ms=time.time_ns() // 1_000_000,
        timezone=timezone,
        time_unit=time_unit,
        time_pattern=time_pattern,
        format=format,
    )
    if pseudonyms is not None:
        rows = (_renamed(row, pseudonyms) for row in rows)
    return _produce_file(
        rows,
        path,
        settings.topic_events,
        settings,
        speed,
        timezone=timezone,
        on_progress=on_progress,
        hold_back=hold_back,
    )


def load_items(
    path: Path,
    mapping: Mapping = ITEMS_AS_NAMED,
    *,
    settings: Settings,
    limits: DecodeLimits,
    timezone: str = "UTC",
    time_unit: TimeUnit = "auto",
    time_pattern: str | None = None,
    format: str | None = None,  # noqa: A002  (the option's name)
    on_progress: Progress | None = None,
    hold_back: HoldBack | None = None,
) -> ReplayReport:
    """Produce the items of a catalogue file to `settings.topic_items`; of an id that comes twice the later row counts.

    Removing items is out of scope: that is a record with a null value. Raises what `replay` does.
    """
    rows = read_items(
        path,
        mapping,
        limits=limits,
        now_ms=time.time_ns() // 1_000_000,
        timezone=timezone,
        time_unit=time_unit,
        time_pattern=time_pattern,
        format=format,
    )
    return _produce_file(
        rows,
        path,
        settings.topic_items,
        settings,
        MAX_SPEED,
        timezone=timezone,
        on_progress=on_progress,
        hold_back=hold_back,
    )


def _renamed(row: FileRecord | BadRow, pseudonyms: KeyRing) -> FileRecord | BadRow:
    """With the pseudonym of whoever the event is of."""
    if isinstance(row, BadRow):
        return row
    event = event_decoder.decode(row.value)
    renamed = msgspec.structs.replace(event, user_id=pseudonyms.pseudonym(event.user_id))
    return row._replace(key=renamed.user_id.encode(), value=encode_sparse(renamed))


def producer_config(settings: Settings) -> dict[str, Any]:
    """Configuration of the producer; also good for other tools that write keyed records."""
    return settings.client_config("replay") | {
        "log_level": 0,  # what fails is in the report or raised; librdkafka would repeat it on stderr 20 times a second
        "partitioner": settings.partitioner,
        "enable.idempotence": True,
        "linger.ms": 5,
        "queue.buffering.max.kbytes": _QUEUE_MAX_KBYTES,
        "message.max.bytes": settings.message_max_bytes + 1024,  # room for the key and the record's framing
        "delivery.timeout.ms": round(settings.delivery_timeout_s * 1000),
    }


def _connect(settings: Settings, topic: str) -> Producer:
    """A producer whose broker has answered and has the topic."""
    producer = Producer(producer_config(settings))
    try:
        topics = producer.list_topics(timeout=settings.connect_timeout_s).topics
    except KafkaException:
        raise BrokerUnreachableError(
            f"No Kafka broker answered at {settings.bootstrap_servers} within {settings.connect_timeout_s:g} s.",
            "start one, or set bootstrap_servers",
        ) from None
    if topic not in topics:
        raise TopicsError(f"There is no topic {topic} at {settings.bootstrap_servers}.", "run `penchant topics create`")
    return producer


def _produce_file(
    rows: Iterable[FileRecord | BadRow], path: Path, topic: str, settings: Settings, speed: float, **options: Any
) -> ReplayReport:
    Pacer(speed)  # a bad speed is an error before anything connects
    producer = _connect(settings, topic)
    timeout_s = settings.delivery_timeout_s
    with stop_signals() as stop:
        stoppable = StoppableProducer(producer, stop)
        report = produce(stoppable, topic, rows, speed=speed, delivery_timeout_s=timeout_s, **options)
    return report if report.interrupted else replace(report, bytes_read=total_bytes(path))

"""Recommendations as they arrive, each with the reasons for its first items.

Four topics are read, outside any consumer group: lists and reasons (joined by `recommendation_id`), the catalogue for
titles, and of the events nothing but when they entered Kafka. For freshness is `generated_at` of a list minus the Kafka
timestamp of the newest event in it (its `source`). The event's own `event_time` would not do: a replay of last year's
sales is not a year late. Nor would the timestamp of the list: it says nothing about when the worker was asked. A list
that no event caused (a refresh, a change of the catalogue), or whose event came before watching began, has none.
The two times come from two machines' clocks; where they differ, so does the figure.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from rich.console import Console

from stream.cli.watch_screen import Wanted
from stream.display.terminal import say
from stream.errors import TopicsError
from stream.kafka.log_ends import log_bounds
from stream.kafka.logs import unreachable
from stream.kafka.topics import list_topics
from stream.params import decode_limits
from stream.settings import Settings
from stream.wire.decode import Rejected, decode_item
from stream.wire.join import Joined, Joiner
from stream.wire.records import OutcomeAttribution, read_attribution, recommendation_decoder

POLL_S: Final = 0.1
BATCH: Final = 500
HINT_AFTER_S: Final = 10.0
TITLES_WAIT_S: Final = 5.0
"""How long the first list may wait for the catalogue to be read; without a title its id is shown."""


class Record(NamedTuple):
    """A Kafka record as the loop needs it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


def lists(settings: Settings, wanted: Wanted, joiner: Joiner, notes: Console) -> Generator[Joined, None, None]:
    """Lists, without end; `notes` is told what is watched, and where nothing comes.

    Raises:
        BrokerUnreachableError, TopicsError: no broker answers, or it has not the topics.
    """
    consumer = Consumer(
        settings.client_config("watch")
        | {
            "group.id": f"{settings.group_id}-watch",  # asked for by librdkafka; nothing is committed and no group joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 16_384,
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
    )
    try:
        starts = _starts(consumer, settings, wanted)
        consumer.assign(starts)
        say(notes, f"Watching {settings.topic_recommendations} at {settings.bootstrap_servers}; Ctrl-C ends it.", "dim")
        yield from _join_forever(consumer, starts, settings, wanted, joiner, notes)
    finally:
        consumer.close()


def handle(record: Record, joiner: Joiner, settings: Settings, wanted: Wanted, now: float) -> None:
    """One record of any of the four topics; what cannot be read is passed over."""
    if record.topic == settings.topic_events:
        if record.timestamp_ms > 0:  # else it has none
            joiner.add_arrival(record.partition, record.offset, record.timestamp_ms)
        return
    try:
        if record.topic == settings.topic_items:
            item_id = (record.key or b"").decode()
            item = decode_item(record.key, record.value, decode_limits(settings)) if record.value else None
            if not isinstance(item, Rejected):  # one that cannot be read stays as it was
                joiner.set_title(item_id, None if item is None else item.item.title)
        elif record.value is None or (wanted.user is not None and record.key != wanted.user.encode()):
            return
        elif record.topic == settings.topic_recommendations:
            joiner.add_list(recommendation_decoder.decode(record.value), now)
        else:
            why = read_attribution(record.value)
            if not isinstance(why, OutcomeAttribution):
                joiner.add_reasons(why, now)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return


def _join_forever(
    consumer: Consumer,
    starts: Sequence[TopicPartition],
    settings: Settings,
    wanted: Wanted,
    joiner: Joiner,
    notes: Console,
) -> Generator[Joined, None, None]:
    lists = [start for start in starts if start.topic == settings.topic_recommendations]
    unread = {(start.topic, start.partition) for start in starts if start.topic == settings.topic_items}
    started = now = time.monotonic()
    hint_at: float | None = started + HINT_AFTER_S
    paused = False
    while True:
        for message in consumer.consume(BATCH, POLL_S):
            error = message.error()
            if error is None:
                handle(_record(message), joiner, settings, wanted, now)
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard((message.topic(), message.partition()))
            elif error.fatal():
                raise unreachable(settings, KafkaException(error))
        now = time.monotonic()
        if joiner.full != paused:
            (consumer.resume if paused else consumer.pause)(lists)
            paused = not paused
        if unread and now - started < TITLES_WAIT_S:
            continue
        for joined in joiner.ready(now):
            hint_at = None
            yield joined
        if hint_at is not None and now >= hint_at:
            hint_at = None
            say(
                notes,
                "Nothing yet: is `penchant worker` running, and do events arrive? --from-beginning shows what is there.",
            )


def _record(message: Any) -> Record:
    _, timestamp_ms = message.timestamp()
    return Record(message.topic(), message.partition(), message.offset(), timestamp_ms, message.key(), message.value())


def _starts(consumer: Consumer, settings: Settings, wanted: Wanted) -> list[TopicPartition]:
    """Where to begin. The reasons' ends are asked before the lists': then no list is seen whose reasons are behind us."""
    existing = list_topics(settings)
    wanted_topics = (
        settings.topic_items,
        settings.topic_events,
        settings.topic_attributions,
        settings.topic_recommendations,
    )
    missing = [name for name in wanted_topics if name not in existing]
    if missing:
        raise TopicsError(f"missing topics: {', '.join(missing)}.", "run `penchant topics create`")
    starts = [
        TopicPartition(name, partition, OFFSET_BEGINNING)
        for name in wanted_topics
        for partition in range(existing[name].partitions)
    ]
    if not wanted.from_beginning:
        newer = [start for start in starts if start.topic != settings.topic_items]
        try:
            bounds = log_bounds(
                consumer, [(start.topic, start.partition) for start in newer], settings.connect_timeout_s
            )
        except KafkaException as error:
            raise unreachable(settings, error) from None
        for start in newer:
            start.offset = bounds[start.topic, start.partition][1]
    return starts

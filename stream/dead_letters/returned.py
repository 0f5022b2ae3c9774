"""How many records that were sent again were refused again: what workers have read of them, and which letters are new."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.dead_letters.topic import Spans, log_spans, read_letters
from stream.dead_letters.writer import Landed
from stream.kafka.logs import unreachable
from stream.settings import Settings

LOOK_S: Final = 0.5


class Returned(NamedTuple):
    """What is known of what was sent."""

    came_back: int
    """Records that are dead letters again."""
    unread: int
    """Events that workers have not committed yet: of them nobody knows."""
    untold: int
    """Records of other topics, which are read without a commit: what came back of them is known, what will come is not."""


class SentRecords:
    """Where the records of a replay landed; 60 bytes of memory each."""

    def __init__(self) -> None:
        self._offsets: defaultdict[tuple[str, int], set[int]] = defaultdict(set)

    def add(self, landed: Landed) -> None:
        """One more."""
        self._offsets[landed.topic, landed.partition].add(landed.offset)

    def __contains__(self, at: tuple[str, int, int]) -> bool:
        topic, partition, offset = at
        return offset in self._offsets.get((topic, partition), ())

    def __len__(self) -> int:
        return sum(map(len, self._offsets.values()))

    def unread(self, topic: str, committed: dict[int, int]) -> int:
        """Those of this topic that are not before the committed offsets (by partition)."""
        return sum(
            sum(offset >= committed.get(partition, 0) for offset in offsets)
            for (of, partition), offsets in self._offsets.items()
            if of == topic
        )

    def of_others(self, topic: str) -> int:
        """Those of all topics but this one."""
        return sum(len(offsets) for (of, _), offsets in self._offsets.items() if of != topic)


def wait_for_returned(
    settings: Settings,
    sent: SentRecords,
    before: Spans,
    wait_s: float,
    *,
    check: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Returned:
    """Until workers have committed what was sent to the events topic, at most `wait_s`; for records of other topics all of it,
    or until each came back. `before`: where the dead-letter topic ended before anything was sent.

    Raises:
        BrokerUnreachableError, TopicsError: no broker answers, or the topic is gone.
    """
    others = sent.of_others(settings.topic_events)
    deadline = clock() + wait_s
    while True:
        check()
        # In this order: a worker's letters are there before it commits.
        unread = sent.unread(settings.topic_events, _committed(settings))
        came_back = _letters_of(settings, sent, before)
        is_known = not unread and (not others or came_back == len(sent))
        if is_known or clock() >= deadline:
            return Returned(came_back, unread, others)
        sleep(min(LOOK_S, max(0.0, deadline - clock())))


def _letters_of(settings: Settings, sent: SentRecords, before: Spans) -> int:
    now = log_spans(settings)
    spans = {partition: (max(low, before.get(partition, (0, 0))[1]), high) for partition, (low, high) in now.items()}
    found = {
        letter.source[:3] for letter in read_letters(settings, spans) if letter.source[:3] in sent
    }  # a worker that was killed may tell of one twice
    return len(found)


def _committed(settings: Settings) -> dict[int, int]:
    topic, timeout_s = settings.topic_events, settings.connect_timeout_s
    config = settings.client_config("returned") | {"group.id": settings.group_id, "enable.auto.commit": False}
    with closing(Consumer(config)) as consumer:  # never joins the group
        try:
            partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
            found = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=timeout_s)
        except KafkaException as error:
            raise unreachable(settings, error) from None
    return {each.partition: each.offset for each in found if each.offset >= 0}

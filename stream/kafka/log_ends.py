"""Where partitions begin and end, by two questions for however many of them.

`Consumer.get_watermark_offsets` asks of one partition: seconds for 256 of them on a busy machine. An `AdminClient` asks of
all at once, but has to connect first, which takes it one or three seconds in one of four starts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from stream.errors import BrokerUnreachableError
from stream.settings import Settings

PASSING: Final = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._TRANSPORT,
    }
)
"""Errors that end by themselves: nobody, or another broker, leads a partition at the moment, or the topic was just made.
`KafkaError.retriable` says no of them: it knows about transactions only."""

ASK_AGAIN_S: Final = 0.05

Bounds = dict[tuple[str, int], tuple[int, int]]
"""(topic, partition) -> offset of the oldest record, and next offset to be written."""

AskBounds = Callable[[Sequence[tuple[str, int]]], Bounds]
"""`LogEnds.bounds_of`, or what stands for it in a test."""


def log_bounds(consumer: Consumer, where: Iterable[tuple[str, int]], timeout_s: float) -> Bounds:
    """Of these partitions; a partition without a leader is asked of again. `consumer` should not be reading: a question waits
    behind its fetches, and with it the thread.

    The end is the one that the consumer's `isolation.level` makes visible: `read_committed` ends before an open transaction.

    Raises:
        KafkaException: not answered within `timeout_s`, or refused.
    """
    asked = list(where)
    if not asked:
        return {}
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = max(ASK_AGAIN_S, deadline - time.monotonic())
        try:
            # The beginning first: a log may grow or be cut between the questions, and low > high would be nonsense.
            lows, highs = (_ask(consumer, asked, which, left_s) for which in (OFFSET_BEGINNING, OFFSET_END))
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() > deadline:
                raise
        else:
            return {at: (low, high) for at, low, high in zip(asked, lows, highs, strict=True)}
        time.sleep(ASK_AGAIN_S)


def _ask(consumer: Consumer, where: Sequence[tuple[str, int]], which: int, timeout_s: float) -> list[int]:
    # The protocol's request for the offset of a time; -2 and -1 are its names for a log's beginning and end.
    answers = consumer.offsets_for_times([TopicPartition(*at, which) for at in where], timeout=timeout_s)
    found = {}
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
        found[answer.topic, answer.partition] = int(answer.offset)
    return [found[at] for at in where]


class LogEnds:
    """Ends of topic partitions, asked of the broker each time. Thread-safe.

    A worker asks in the middle of its work, so it waits as long as for anything that it writes.
    """

    def __init__(self, settings: Settings, *, readable: bool = False) -> None:
        """`readable`: the end of what may be read by now, before the oldest transaction that is still open; anybody's producer
        may leave one open for long. Otherwise the very end: a transaction that was just committed may not be visible to
        readers for a moment."""
        self._timeout_s = settings.delivery_timeout_s
        self._lock = threading.Lock()
        isolation = "read_committed" if readable else "read_uncommitted"
        self._consumer = Consumer(
            settings.client_config("log-ends")
            | {"group.id": f"{settings.group_id}-log-ends", "isolation.level": isolation}
        )

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Offset of the oldest record, and next offset to be written.

        Raises:
            BrokerUnreachableError: no answer within `delivery_timeout_s`.
        """
        return self.bounds_of([(topic, partition)])[topic, partition]

    def bounds_of(self, where: Sequence[tuple[str, int]]) -> Bounds:
        """`bounds` of all of them.

        Raises:
            BrokerUnreachableError: no answer within `delivery_timeout_s`.
        """
        with self._lock:
            try:
                return log_bounds(self._consumer, where, self._timeout_s)
            except KafkaException as error:
                topic, partition = where[0]
                more = f" and {len(where) - 1} more" if len(where) > 1 else ""
                raise BrokerUnreachableError(
                    f"the end of {topic} partition {partition}{more} is not known: {error.args[0].str()}.",
                    "see `penchant doctor`",
                ) from error

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

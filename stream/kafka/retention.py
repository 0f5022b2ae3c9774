"""Notice when the embedded broker's small memory has lost records.

A partition of the embedded broker holds 5 MiB (`stream.kafka.embedded.PARTITION_MAX_BYTES`); what comes after pushes the oldest
records out, and neither producer nor reader gets an error: the reader's `auto.offset.reset` just jumps over the gap.

`RetentionGuard` detects it: it compares the oldest record still there with the offset that a reader has reached. A producer
prevents it by not running ahead of its reader, as `stream.demo.throttle` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.errors import BrokerUnreachableError, InvariantError, TopicsError
from stream.kafka.log_ends import log_bounds

_NO_COMMIT: Final = -1001  # librdkafka's OFFSET_INVALID: the group has committed nothing on this partition


class RetentionGuard:
    """Says how many records were dropped before a reader got to them. Owns a client: close it, or use `with`.

    It sees the log as it is now. A reader that has already jumped over a gap looks well again, so ask while it reads
    (each second, say), and let the reader set `auto.offset.reset` to `error` where it can.

    Args:
        bootstrap_servers: Where the broker listens.
        topics: What `committed` looks at.
        group_id: The group whose offsets `committed` gives; the guard never joins it.
        timeout_s: How long one question to the broker may take.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Iterable[str] = (),
        group_id: str = "retention-guard",
        timeout_s: float = 10.0,
    ) -> None:
        self._topics = tuple(topics)
        self._group_id = group_id
        self._timeout_s = timeout_s
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group_id,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )

    def lost(self, topic: str, partition: int, next_offset: int) -> int:
        """Records dropped that a reader whose next offset is `next_offset` has not read.

        Raises:
            BrokerUnreachableError: no answer within `timeout_s`.
        """
        return self._lost({(topic, partition): next_offset})[topic, partition]

    def check(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Compare each reader's position: (topic, partition) -> next offset to read.

        Raises:
            InvariantError: records were dropped before they were read; names every partition and its number.
            BrokerUnreachableError: no answer within `timeout_s`.
        """
        dropped = {
            f"{topic}[{partition}]": count
            for (topic, partition), count in sorted(self._lost(positions).items())
            if count
        }
        if dropped:
            raise InvariantError(
                f"The embedded broker dropped {sum(dropped.values())} records before they were read ("
                + ", ".join(f"{name}: {count}" for name, count in dropped.items())
                + "). Fix: send more slowly, or use Apache Kafka (`make kafka`)."
            )

    def committed(self) -> dict[tuple[str, int], int]:
        """The group's committed offset of every partition of `topics`, 0 where it has committed nothing."""
        partitions = [
            TopicPartition(topic, partition) for topic in self._topics for partition in range(self._partitions(topic))
        ]
        try:
            answers = self._consumer.committed(partitions, timeout=self._timeout_s)
        except KafkaException as error:
            raise self._unreachable(error) from None
        return {
            (answer.topic, answer.partition): 0 if answer.offset == _NO_COMMIT else answer.offset for answer in answers
        }

    def close(self) -> None:
        """Close the client. May be called again."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _lost(self, positions: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        try:
            bounds = log_bounds(self._consumer, positions, self._timeout_s)
        except KafkaException as error:
            raise self._unreachable(error) from None
        return {at: max(0, low - positions[at]) for at, (low, _) in bounds.items()}

    def _partitions(self, topic: str) -> int:
        try:
            found = self._consumer.list_topics(topic, timeout=self._timeout_s).topics[topic]
        except KafkaException as error:
            raise self._unreachable(error) from None
        if found.error is not None:
            raise TopicsError(f"Topic {topic!r}: {found.error.str()}.", "name a topic that exists")
        return len(found.partitions)

    def _unreachable(self, reason: object) -> BrokerUnreachableError:
        return BrokerUnreachableError(
            f"The broker did not answer within {self._timeout_s:g} s: {reason}.", "check that it is running"
        )

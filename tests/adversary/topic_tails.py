"""Topics read on from where they were last read to: an episode is checked several times, and nothing is read twice."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from worker_process import ends

TIMEOUT_S: Final = 60.0


class TopicTail:
    """One topic. Partitions that are added are read from their beginning, and what was dropped is passed over."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._bootstrap_servers, self.topic = bootstrap_servers, topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers, "group.id": "tail", "enable.auto.commit": False,
                "enable.partition.eof": True, "auto.offset.reset": "earliest", "log_level": 0,
            }
        )  # fmt: skip
        self.next_offsets: dict[int, int] = defaultdict(int)

    def close(self) -> None:
        self._consumer.close()

    def read(self) -> list[Message]:
        """What committed transactions have added to each partition, in offset order. No transaction may be open."""
        behind = {p: end for p, end in ends(self._bootstrap_servers, self.topic).items() if end > self.next_offsets[p]}
        if not behind:
            return []
        self._consumer.assign([TopicPartition(self.topic, p, self.next_offsets[p]) for p in behind])
        deadline, read, is_open = time.monotonic() + TIMEOUT_S, list[Message](), set(behind)
        while is_open:
            assert time.monotonic() < deadline, f"{self.topic} could not be read to its end"
            for message in self._consumer.consume(1000, 0.2):
                error, partition = message.error(), message.partition()
                if error is None:
                    read.append(message)
                elif error.code() == KafkaError._PARTITION_EOF and message.offset() >= behind[partition]:
                    self.next_offsets[partition] = message.offset()
                    is_open.discard(partition)
        self._consumer.unassign()
        # What came behind the ends that were asked for is read the next time.
        return sorted(
            (m for m in read if m.offset() < self.next_offsets[m.partition()]),
            key=lambda m: (m.partition(), m.offset()),
        )

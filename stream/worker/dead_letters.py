"""Records that cannot be used, on the dead-letter topic: their bytes, and in headers where they lay and what is wrong."""

from __future__ import annotations

from typing import NamedTuple

from stream.kafka.producer import RecordProducer
from stream.wire.decode import Rejected


class Origin(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


def send_dead_letter(
    producer: RecordProducer, topic: str, key: bytes | None, value: bytes | None, origin: Origin, why: Rejected
) -> None:
    """`topic`: the one for dead letters."""
    headers = {
        "reason": why.reason,
        "detail": why.detail,
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(origin.offset),
        "timestamp": str(origin.timestamp_ms),
    }
    producer.send(topic, key, value, headers=[(name, text.encode(errors="replace")) for name, text in headers.items()])

"""Dead letters as they come from the topic, and a stand-in for the writer that sends them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Producer

from stream.dead_letters.letter import Letter, letter_of
from stream.dead_letters.writer import Landed, RecordsRefusedError

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Message:
    """What is asked of librdkafka's."""

    def __init__(self, partition=0, offset=0, key=b"ann", value=b"{}", timestamp_ms=NOW_MS, headers=None) -> None:
        self._held = partition, offset, key, value, (1, timestamp_ms), headers

    partition, offset, key, value, timestamp, headers = (
        (lambda self, n=n: self._held[n]) for n in range(6)
    )  # fmt: skip


def letter_headers(n: int = 0, reason: str = "schema", topic: str = "interest.events", **more: Any) -> list[Any]:
    """As a worker writes them, about the record with offset `n`."""
    headers = {
        "reason": reason, "detail": "because", "topic": topic, "partition": "0", "offset": str(n), "timestamp": str(NOW_MS)
    } | more  # fmt: skip
    return [(name, str(value).encode()) for name, value in headers.items()]


def letter(
    n: int = 0, partition: int = 0, key: bytes | None = b"ann", value: bytes | None = b"{}", **headers: Any
) -> Letter:
    """About the record with offset `n`, which is its own offset, too."""
    found = letter_of(Message(partition, n, key, value, NOW_MS + n, letter_headers(n, **headers)))
    assert found is not None
    return found


class FakeWriter:
    """Sends all or nothing."""

    def __init__(self, refuses: Callable[[Letter], bool] = lambda _: False) -> None:
        self.parts: list[list[Letter]] = []
        self._refuses = refuses

    @property
    def sent(self) -> list[Letter]:
        return [each for part in self.parts for each in part]

    def send(self, letters: Sequence[Letter]) -> list[Landed]:
        if any(map(self._refuses, letters)):
            raise RecordsRefusedError("too large")
        before = len(self.sent)
        self.parts.append(list(letters))
        return [Landed(each.source.topic, 0, before + n) for n, each in enumerate(letters)]


def produce_letters(
    bootstrap_servers: str, topic: str, letters: Sequence[tuple[bytes | None, bytes | None, list[Any]]]
) -> None:
    """Key, value and headers of each."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "partitioner": "murmur2_random", "log_level": 0})
    for key, value, headers in letters:
        producer.produce(topic, value, key, headers=headers)
    assert producer.flush(60) == 0

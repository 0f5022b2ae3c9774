"""What goes to the dead-letter topic: records that were refused, and users who are quarantined, each with what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from stream.kafka.producer import Record, RecordProducer
from stream.metrics import Metrics
from stream.refresh.quarantine import Quarantined
from stream.settings import Settings
from stream.wire.decode import LETTER_REASONS, QUARANTINED, Rejected
from stream.wire.letter_headers import PENCHANT_HEADER, PRODUCER_HEADER

BEGINNING_BYTES: Final = 64 << 10
"""How much of a value is kept where the whole does not fit."""

KEY_MAX_BYTES: Final = 4 << 10
"""No id is as long; of a longer key the beginning is kept."""

HEADERS_MAX_BYTES: Final = 16 << 10
"""How much of the producer's own headers goes along; beyond, none does. They find room beside ours, however large the value."""

Headers = dict[str, str]
ProducerHeaders = Sequence[tuple[str, bytes | None]]


class Origin(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int = -1
    """-1: it is no record."""
    timestamp_ms: int = -1


class DeadLetters:
    """Writes them, each as a whole if it fits, else its beginning with the length and the SHA-256 of the whole."""

    def __init__(self, settings: Settings, metrics: Metrics, producer: RecordProducer) -> None:
        self._settings, self._metrics, self._producer = settings, metrics, producer
        for reason in LETTER_REASONS:  # from 0 on: a rate sees nothing of a series that begins with its first record
            metrics.input.rejected.labels(reason)

    def refused(self, record: Any, why: Rejected) -> None:
        """An event that was read and is not used."""
        origin = Origin(record.topic, record.partition, record.offset, record.timestamp)
        self.send(record.key, record.value, origin, why, getattr(record, "headers", None) or ())
        self._metrics.input.rejected.labels(why.reason).inc()

    def quarantined(self, partition: int, each: Quarantined) -> None:
        """A user who goes without something; the value reproduces it."""
        origin = Origin(self._settings.topic_events, partition)
        self.send(each.user, each.evidence, origin, Rejected(QUARANTINED, f"{each.cause}: {each.detail}"))

    def send(
        self,
        key: bytes | None,
        value: bytes | None,
        origin: Origin,
        why: Rejected,
        producers: ProducerHeaders = (),
    ) -> None:
        """What was read there, with the headers that its producer gave it, and what is wrong with it."""
        headers = {
            "reason": why.reason,
            "detail": why.detail,
            "topic": origin.topic,
            "partition": str(origin.partition),
            "offset": str(origin.offset),
            "timestamp": str(origin.timestamp_ms),
        }
        kept = _of_producer(producers)
        if kept is None:
            kept, headers["headers_left_out"] = [], str(len(producers))
        topic, size = self._settings.topic_dead_letter, len(key or b"") + len(value or b"")
        # Our own client refuses a larger one, whatever the topic takes.
        letter = (
            Letter(key, value, headers) if size <= self._settings.fetch_max_bytes else _beginning(key, value, headers)
        )
        short = None if size <= BEGINNING_BYTES else _beginning(key, value, headers)
        self._producer.send(
            topic,
            letter.key,
            letter.value,
            headers=[*_encoded(letter.headers), *kept],
            instead=None if short is None else Record(short.key, short.value, [*_encoded(short.headers), *kept]),
        )


class Letter(NamedTuple):
    """A record before its headers are bytes."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def _beginning(key: bytes | None, value: bytes | None, headers: Headers) -> Letter:
    """What is kept of a record that does not fit, and what the whole can be known by."""
    whole = value or b""
    known_by = {"whole_bytes": str(len(whole)), "whole_sha256": sha256(whole).hexdigest()}
    return Letter(None if key is None else key[:KEY_MAX_BYTES], whole[:BEGINNING_BYTES], headers | known_by)


def _of_producer(headers: ProducerHeaders) -> list[tuple[str, bytes | None]] | None:
    """Under the names that they have in a letter; None: they are too large."""
    kept = [(f"{PRODUCER_HEADER}{name}", value) for name, value in headers if not name.startswith(PENCHANT_HEADER)]
    n_bytes = sum(len(name.encode(errors="replace")) + len(value or b"") + 16 for name, value in kept)
    return kept if n_bytes <= HEADERS_MAX_BYTES else None


def _encoded(headers: Headers) -> list[tuple[str, bytes | None]]:
    return [(name, value.encode(errors="replace")) for name, value in headers.items()]

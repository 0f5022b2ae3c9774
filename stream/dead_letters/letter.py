"""A dead letter as a person looks at it, made from what a worker wrote. Pure; nothing here raises for odd records."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from stream.wire.decode import QUARANTINED
from stream.wire.letter_headers import PRODUCER_HEADER

IDENTITY_BYTES: Final = 16

RawHeaders = Sequence[tuple[str, bytes | None]]


class Place(NamedTuple):
    """Where a letter lies on the dead-letter topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Source(NamedTuple):
    """Where the record was read from that was refused."""

    topic: str
    partition: int
    offset: int
    """-1: it is no record."""
    timestamp_ms: int
    """Kafka's; below 1: none."""


class Letter(NamedTuple):
    """A refused record."""

    place: Place
    refused_ms: int
    """When: the letter's own Kafka timestamp."""
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    source: Source
    whole_bytes: int | None
    """Of the record, where `value` is only its beginning; None: it is the whole."""
    headers: tuple[tuple[str, bytes | None], ...]
    """The producer's own."""
    headers_left_out: int

    @property
    def n_bytes(self) -> int:
        """Of the value, as the record had it."""
        return len(self.value or b"") if self.whole_bytes is None else self.whole_bytes

    @property
    def identity(self) -> bytes:
        """The same for every letter about the same record, and for no other: a worker that was killed may have told of one
        twice, and offsets begin again where a topic was made anew."""
        digest = sha256(repr(self.source).encode())
        for part in (self.key, self.value):
            digest.update(b"-" if part is None else b"+%d:" % len(part) + part)
        return digest.digest()[:IDENTITY_BYTES]


def letter_of(message: Any) -> Letter | None:
    """From a record of the dead-letter topic; None: it is no letter."""
    own, producers = _divided(message.headers() or ())
    if "reason" not in own or "topic" not in own:
        return None
    return Letter(
        Place(message.partition(), message.offset()),
        message.timestamp()[1],
        message.key(),
        message.value(),
        own["reason"],
        own.get("detail", ""),
        Source(own["topic"], *(_number(own.get(name)) for name in ("partition", "offset", "timestamp"))),
        _number(own["whole_bytes"]) if "whole_bytes" in own else None,
        producers,
        max(0, _number(own.get("headers_left_out", "0"))),
    )


def why_no_record(letter: Letter) -> str | None:
    """Why there is nothing that could be sent again; None: there is."""
    if letter.source.offset < 0:
        return (
            "it is about a user and no record" if letter.reason == QUARANTINED else "it does not say which record it is"
        )
    if letter.whole_bytes is not None:
        return "only its beginning was kept"
    if letter.reason == "too_large" and letter.value is None:
        return "it stands for a batch that could not be unpacked"
    return None


def text_of(value: bytes) -> str:
    """For a line: UTF-8 where it is, all else escaped."""
    return value.decode(errors="backslashreplace")


def _divided(headers: RawHeaders) -> tuple[dict[str, str], tuple[tuple[str, bytes | None], ...]]:
    """The worker's and the producer's."""
    own: dict[str, str] = {}
    producers = []
    for name, value in headers:
        if name.startswith(PRODUCER_HEADER):
            producers.append((name.removeprefix(PRODUCER_HEADER), value))
        else:
            own.setdefault(name, (value or b"").decode(errors="replace"))
    return own, tuple(producers)


def _number(text: str | None) -> int:
    """-1 for what is none, or none of Kafka's."""
    try:
        number = int(text or "")
    except ValueError:
        return -1
    return number if -1 <= number < 1 << 63 else -1

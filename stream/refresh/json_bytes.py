"""Numbers and texts of records as bytes of JSON, for compiled writers.

Most of a record are numbers and the ids between them. An object for each of them costs more than all else that is done for a
list, so their bytes are written from arrays. Tests read them back and compare with what msgspec writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, compiled_part

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

NUMBER: Final = 24
"""Most bytes of a whole number or of millionths: 19 digits, a sign, a point, and what a comma and brackets add."""

MILLION: Final = 1_000_000
DIGITS: Final = 6
ZERO, MINUS, POINT, COMMA, OPEN, CLOSE, BRACE, END, QUOTE = 48, 45, 46, 44, 91, 93, 123, 125, 34


class Blob(NamedTuple):
    """Texts, one after the other."""

    data: Bytes
    ends: Ints
    """(n + 1,): text i lies between ends i and i + 1."""


class Ids(NamedTuple):
    """Where the ids of n items or behaviours are, as JSON."""

    data: Bytes
    start: Ints
    """(n,)"""
    end: Ints


class Slices(NamedTuple):
    """What was written, a piece for each list."""

    written: bytes
    ends: list[int]
    """List u has what lies between ends u and u + 1."""

    def of(self, user: int) -> bytes:
        """The piece of one list."""
        return self.written[self.ends[user] : self.ends[user + 1]]


def blob(texts: Sequence[bytes]) -> Blob:
    """Of n texts."""
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    return Blob(np.frombuffer(b"".join(texts), np.uint8), ends)


def moved_by_json(names: tuple[str, ...]) -> Blob:
    """What is written of each reason to move: a field, or nothing."""
    return blob([b',"moved_by":%b' % msgspec.json.encode(name) if name else b"" for name in names])


def json_texts(texts: Sequence[str]) -> Blob:
    """Each as a JSON string."""
    return blob([msgspec.json.encode(text) for text in texts])


@compiled
def put(buffer: Bytes, at: int, data: Bytes, ends: Ints, text: int) -> int:
    """Write a text of a blob at `at`; where it ends."""
    return put_between(buffer, at, data, ends[text], ends[text + 1])


@compiled_part
def put_between(buffer: Bytes, at: int, data: Bytes, start: int, end: int) -> int:
    """Write what lies in `data` from `start` to `end`."""
    for i in range(start, end):
        buffer[at] = data[i]
        at += 1
    return at


@compiled
def put_whole(buffer: Bytes, at: int, value: int) -> int:
    """Write a whole number."""
    if value < 0:
        buffer[at] = MINUS
        at += 1
        value = -value
    digits, rest = 1, value
    while rest >= 10:
        rest //= 10
        digits += 1
    for i in range(digits):
        buffer[at + digits - 1 - i] = ZERO + value % 10
        value //= 10
    return at + digits


@compiled
def put_millionths(buffer: Bytes, at: int, value: int) -> int:
    """Write millionths as a decimal without zeros at its end."""
    if value < 0:
        buffer[at] = MINUS
        at += 1
        value = -value
    at = put_whole(buffer, at, value // MILLION)
    value %= MILLION
    if value == 0:
        return at
    buffer[at] = POINT
    at += 1
    for i in range(DIGITS):
        buffer[at + DIGITS - 1 - i] = ZERO + value % 10
        value //= 10
    at += DIGITS
    while buffer[at - 1] == ZERO:
        at -= 1
    return at

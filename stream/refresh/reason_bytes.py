"""The numbers of many records of reasons as JSON, in compiled passes: what msgspec would write of `stream.wire.reasons`.

Nine tenths of a record are numbers and the ids between them. An object for each of them costs more than all else that is done
for a list, so their bytes are written from the arrays. A test reads them back and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.vocabulary import ACTIONS, STRATEGIES

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

NUMBER: Final = 24
"""Most bytes of a number: 19 digits, a sign, a point, and what a comma and brackets add."""

MILLION: Final = 1_000_000
DIGITS: Final = 6
ZERO, MINUS, POINT, COMMA, OPEN, CLOSE, END = 48, 45, 46, 44, 91, 93, 125


class Blob(NamedTuple):
    """Texts, one after the other."""

    data: Bytes
    ends: Ints
    """(n + 1,): text i lies between ends i and i + 1."""


class Slices(NamedTuple):
    """What was written, a piece for each list."""

    written: bytes
    ends: list[int]
    """List u has what lies between ends u and u + 1."""

    def of(self, user: int) -> bytes:
        """The piece of one list."""
        return self.written[self.ends[user] : self.ends[user + 1]]


class PlaceNumbers(NamedTuple):
    """f places with p parts and c causes; all numbers in millionths."""

    parts: Ints
    """(f, p)"""
    others: Ints
    """(f,)"""
    reason: Ints
    """(f,) place of the sentence."""
    strategy: NDArray[np.uint8]
    """(f,)"""
    behaviour: Ints
    """(c,) place of the behaviour."""
    value: Ints
    """(c,)"""
    bounds: Ints
    """(f + 1,): a place's causes are those from its bound to the next one's."""


def blob(texts: Sequence[bytes]) -> Blob:
    """Of n texts."""
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    return Blob(np.frombuffer(b"".join(texts), np.uint8), ends)


def json_texts(texts: Sequence[str]) -> Blob:
    """Each as a JSON string."""
    return blob([msgspec.json.encode(text) for text in texts])


def places_json(items: Blob, numbers: PlaceNumbers, starts: Ints) -> Slices:
    """The elements of `Reasons.places` of u lists. `items`: ids as JSON; `starts` (u + 1,): the first place of each list."""
    f, p = numbers.parts.shape
    most = len(items.data) + len(numbers.value) * 2 * NUMBER + f * (_FIXED + (p + 4) * NUMBER)
    buffer, ends = np.empty(most, np.uint8), np.zeros(len(starts), np.int64)
    n = numbers
    _write_places(
        buffer, ends, starts, *items, *_STRATEGIES, *_PIECES,
        n.parts, n.others, n.reason, n.strategy, n.behaviour, n.value, n.bounds,
    )  # fmt: skip
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


def behaviours_json(names: Blob, name: Ints, action: NDArray[np.uint8], time_ms: Ints, starts: Ints) -> Slices:
    """The elements of `Reasons.behaviours` of u lists; (m,) each. `names`: JSON; `starts` (u + 1,): the first of each list."""
    longest = int(np.diff(names.ends).max(initial=0))
    buffer = np.empty(len(name) * (longest + _LONGEST_ACTION + 2 * NUMBER), np.uint8)
    ends = np.zeros(len(starts), np.int64)
    _write_behaviours(buffer, ends, starts, *names, *_ACTIONS, name, action, time_ms)
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


_PIECES = blob([b'{"item_id":', b',"score":', b',"parts":[', b'],"causes":[', b'],"others":', b',"reason":'])
_STRATEGIES = blob([b"" if name == "interest" else b',"strategy":"%s"' % name.encode() for name in STRATEGIES])
_ACTIONS = json_texts(ACTIONS)
_LONGEST_ACTION = max(map(len, ACTIONS)) + 2
_FIXED = len(_PIECES.data) + len(_STRATEGIES.data) + 8


@compiled
def _write_places(
    buffer: Bytes,
    list_ends: Ints,
    starts: Ints,
    items: Bytes,
    item_ends: Ints,
    strategies: Bytes,
    strategy_ends: Ints,
    pieces: Bytes,
    piece_ends: Ints,
    parts: Ints,
    others: Ints,
    reason: Ints,
    strategy: NDArray[np.uint8],
    behaviour: Ints,
    value: Ints,
    bounds: Ints,
) -> None:
    at = 0
    for u in range(len(starts) - 1):
        for f in range(starts[u], starts[u + 1]):
            if f > starts[u]:
                buffer[at] = COMMA
                at += 1
            at = _put(buffer, at, pieces, piece_ends, 0)
            at = _put(buffer, at, items, item_ends, f)
            at = _put(buffer, at, pieces, piece_ends, 1)
            at = _put_millionths(buffer, at, parts[f].sum())
            at = _put(buffer, at, pieces, piece_ends, 2)
            for p in range(parts.shape[1]):
                if p:
                    buffer[at] = COMMA
                    at += 1
                at = _put_millionths(buffer, at, parts[f, p])
            at = _put(buffer, at, pieces, piece_ends, 3)
            for c in range(bounds[f], bounds[f + 1]):
                if c > bounds[f]:
                    buffer[at] = COMMA
                    at += 1
                buffer[at] = OPEN
                at = _put_whole(buffer, at + 1, behaviour[c])
                buffer[at] = COMMA
                at = _put_millionths(buffer, at + 1, value[c])
                buffer[at] = CLOSE
                at += 1
            at = _put(buffer, at, pieces, piece_ends, 4)
            at = _put_millionths(buffer, at, others[f])
            at = _put(buffer, at, pieces, piece_ends, 5)
            at = _put_whole(buffer, at, reason[f])
            at = _put(buffer, at, strategies, strategy_ends, strategy[f])
            buffer[at] = END
            at += 1
        list_ends[u + 1] = at


@compiled
def _write_behaviours(
    buffer: Bytes,
    list_ends: Ints,
    starts: Ints,
    names: Bytes,
    name_ends: Ints,
    actions: Bytes,
    action_ends: Ints,
    name: Ints,
    action: NDArray[np.uint8],
    time_ms: Ints,
) -> None:
    at = 0
    for u in range(len(starts) - 1):
        for m in range(starts[u], starts[u + 1]):
            if m > starts[u]:
                buffer[at] = COMMA
                at += 1
            buffer[at] = OPEN
            at = _put(buffer, at + 1, names, name_ends, name[m])
            buffer[at] = COMMA
            at = _put(buffer, at + 1, actions, action_ends, action[m])
            buffer[at] = COMMA
            at = _put_whole(buffer, at + 1, time_ms[m])
            buffer[at] = CLOSE
            at += 1
        list_ends[u + 1] = at


@compiled
def _put(buffer: Bytes, at: int, data: Bytes, ends: Ints, text: int) -> int:
    for i in range(ends[text], ends[text + 1]):
        buffer[at] = data[i]
        at += 1
    return at


@compiled
def _put_whole(buffer: Bytes, at: int, value: int) -> int:
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
def _put_millionths(buffer: Bytes, at: int, value: int) -> int:
    """As a decimal without zeros at its end."""
    if value < 0:
        buffer[at] = MINUS
        at += 1
        value = -value
    at = _put_whole(buffer, at, value // MILLION)
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

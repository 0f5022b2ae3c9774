"""The places and behaviours of many records of reasons as JSON: what msgspec would write of `stream.wire.reasons`."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.vocabulary import ACTIONS, STRATEGIES
from stream.refresh.json_bytes import (
    CLOSE,
    COMMA,
    END,
    NUMBER,
    OPEN,
    Bytes,
    Ids,
    Ints,
    Slices,
    blob,
    json_texts,
    moved_by_json,
    put,
    put_between,
    put_millionths,
    put_whole,
)

_NOTHING: Final = np.zeros(0, np.int64)
_NOT_MOVED: Final = np.zeros(0, np.int16)
_NOBODY: Final = np.zeros(0, np.bool_)


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
    propensity: Ints = _NOTHING
    """(f,) in millionths; empty: 1 everywhere, and nothing was moved."""
    moved_by: NDArray[np.int16] = _NOT_MOVED
    """(f,): position in `names`."""
    promoted: NDArray[np.bool_] = _NOBODY
    """(f,)"""
    names: tuple[str, ...] = ("",)


def places_json(items: Ids, numbers: PlaceNumbers, starts: Ints) -> Slices:
    """The elements of `Reasons.places` of u lists; `items` (f,); `starts` (u + 1,): the first place of each list."""
    f, p = numbers.parts.shape
    moved = moved_by_json(numbers.names)
    fixed = _FIXED + len(moved.data) + (p + 5) * NUMBER
    most = int((items.end - items.start).sum()) + len(numbers.value) * 2 * NUMBER + f * fixed
    buffer, ends = np.empty(most, np.uint8), np.zeros(len(starts), np.int64)
    n = numbers
    _write_places(
        buffer, ends, starts, *items, *_STRATEGIES, *_PIECES,
        n.parts, n.others, n.reason, n.strategy, n.behaviour, n.value, n.bounds, *moved, n.propensity, n.moved_by,
        n.promoted,
    )  # fmt: skip
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


def behaviours_json(names: Ids, action: NDArray[np.uint8], time_ms: Ints, starts: Ints) -> Slices:
    """The elements of `Reasons.behaviours` of u lists; (m,) each; `starts` (u + 1,): the first of each list."""
    most = int((names.end - names.start).sum()) + len(action) * (_LONGEST_ACTION + 2 * NUMBER)
    buffer, ends = np.empty(most, np.uint8), np.zeros(len(starts), np.int64)
    _write_behaviours(buffer, ends, starts, *names, *_ACTIONS, action, time_ms)
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


_PIECES = blob([b'{"item_id":', b',"score":', b',"parts":[', b'],"causes":[', b'],"others":', b',"reason":',
                b',"propensity":', b',"promoted":true'])  # fmt: skip
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
    item_start: Ints,
    item_end: Ints,
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
    moves: Bytes,
    move_ends: Ints,
    propensity: Ints,
    moved_by: NDArray[np.int16],
    promoted: NDArray[np.bool_],
) -> None:
    at = 0
    for u in range(len(starts) - 1):
        for f in range(starts[u], starts[u + 1]):
            if f > starts[u]:
                buffer[at] = COMMA
                at += 1
            at = put(buffer, at, pieces, piece_ends, 0)
            at = put_between(buffer, at, items, item_start[f], item_end[f])
            at = put(buffer, at, pieces, piece_ends, 1)
            at = put_millionths(buffer, at, parts[f].sum())
            at = put(buffer, at, pieces, piece_ends, 2)
            for p in range(parts.shape[1]):
                if p:
                    buffer[at] = COMMA
                    at += 1
                at = put_millionths(buffer, at, parts[f, p])
            at = put(buffer, at, pieces, piece_ends, 3)
            for c in range(bounds[f], bounds[f + 1]):
                if c > bounds[f]:
                    buffer[at] = COMMA
                    at += 1
                buffer[at] = OPEN
                at = put_whole(buffer, at + 1, behaviour[c])
                buffer[at] = COMMA
                at = put_millionths(buffer, at + 1, value[c])
                buffer[at] = CLOSE
                at += 1
            at = put(buffer, at, pieces, piece_ends, 4)
            at = put_millionths(buffer, at, others[f])
            at = put(buffer, at, pieces, piece_ends, 5)
            at = put_whole(buffer, at, reason[f])
            at = put(buffer, at, strategies, strategy_ends, strategy[f])
            if len(propensity):
                if propensity[f] != 1_000_000:
                    at = put(buffer, at, pieces, piece_ends, 6)
                    at = put_millionths(buffer, at, propensity[f])
                at = put(buffer, at, moves, move_ends, moved_by[f])
                if promoted[f]:
                    at = put(buffer, at, pieces, piece_ends, 7)
            buffer[at] = END
            at += 1
        list_ends[u + 1] = at


@compiled
def _write_behaviours(
    buffer: Bytes,
    list_ends: Ints,
    starts: Ints,
    names: Bytes,
    name_start: Ints,
    name_end: Ints,
    actions: Bytes,
    action_ends: Ints,
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
            at = put_between(buffer, at + 1, names, name_start[m], name_end[m])
            buffer[at] = COMMA
            at = put(buffer, at + 1, actions, action_ends, action[m])
            buffer[at] = COMMA
            at = put_whole(buffer, at + 1, time_ms[m])
            buffer[at] = CLOSE
            at += 1
        list_ends[u + 1] = at

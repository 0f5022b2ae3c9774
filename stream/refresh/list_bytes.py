"""The places of many lists as JSON, in one compiled pass: what msgspec would write of `stream.wire.records.RecommendedItem`.

Scores are written with all their digits, which is msgspec's work: it writes the numbers of a batch at once, and they are
copied.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.compiled import compiled, compiled_part
from models.vocabulary import STRATEGIES
from stream.refresh.json_bytes import (
    CLOSE,
    COMMA,
    END,
    NUMBER,
    Bytes,
    Ids,
    Slices,
    blob,
    moved_by_json,
    put,
    put_between,
    put_whole,
)

_NOTHING: Final = np.zeros(0, np.int16)
_NOBODY: Final = np.zeros(0, np.bool_)


class ListedPlaces(NamedTuple):
    """Of f places."""

    rank: I8
    """(f,) from 1."""
    strategy: NDArray[np.uint8]
    score: F8
    probability: F8
    parts: F8
    """(f, p)"""
    propensity: F8 | None = None
    """(f,); None: 1 everywhere, and nothing was moved."""
    moved_by: NDArray[np.int16] = _NOTHING
    """(f,): position in `names`."""
    promoted: NDArray[np.bool_] = _NOBODY
    """(f,)"""
    names: tuple[str, ...] = ("",)


def list_places_json(items: Ids, places: ListedPlaces, names: tuple[str, ...], starts: I8) -> Slices:
    """The elements of `Recommendation.items` of u lists; `items` (f,); `names` of the p parts; `starts` (u + 1,)."""
    drawn = places.propensity is not None
    propensity = () if places.propensity is None else (np.round(places.propensity, 9),)
    numbers = np.column_stack((places.score, places.probability, *propensity, places.parts))
    moved = moved_by_json(places.names)
    written = np.frombuffer(msgspec.json.encode(numbers.ravel().tolist()), np.uint8)
    keys = blob([b"%b:" % msgspec.json.encode(name) for name in names])
    fixed = len(_PIECES.data) + _LONGEST_STRATEGY + len(keys.data) + len(moved.data) + numbers.shape[1] + NUMBER + 8
    buffer = np.empty(int((items.end - items.start).sum()) + len(written) + len(places.rank) * fixed, np.uint8)
    ends = np.zeros(len(starts), np.int64)
    _write(
        buffer, ends, starts, *items, *_STRATEGIES, *_PIECES, *keys, *moved, places.rank, places.strategy,
        places.moved_by, places.promoted, written, drawn,
    )  # fmt: skip
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


_PIECES = blob(
    [b'{"item_id":', b',"rank":', b',"score":', b',"probability":', b',"strategy":', b',"propensity":1.0,"parts":{',
     b',"propensity":', b',"parts":{', b',"promoted":true']
)  # fmt: skip
_STRATEGIES = blob([msgspec.json.encode(name) for name in STRATEGIES])
_LONGEST_STRATEGY = int(np.diff(_STRATEGIES.ends).max())


@compiled
def _write(
    buffer: Bytes,
    list_ends: I8,
    starts: I8,
    items: Bytes,
    item_start: I8,
    item_end: I8,
    strategies: Bytes,
    strategy_ends: I8,
    pieces: Bytes,
    piece_ends: I8,
    keys: Bytes,
    key_ends: I8,
    moves: Bytes,
    move_ends: I8,
    rank: I8,
    strategy: NDArray[np.uint8],
    moved_by: NDArray[np.int16],
    promoted: NDArray[np.bool_],
    numbers: Bytes,
    drawn: bool,
) -> None:
    at, number = 0, 1
    for u in range(len(starts) - 1):
        for f in range(starts[u], starts[u + 1]):
            if f > starts[u]:
                buffer[at] = COMMA
                at += 1
            at = put(buffer, at, pieces, piece_ends, 0)
            at = put_between(buffer, at, items, item_start[f], item_end[f])
            at = put(buffer, at, pieces, piece_ends, 1)
            at = put_whole(buffer, at, rank[f])
            for i in range(2, 4):
                at = put(buffer, at, pieces, piece_ends, i)
                end = _number_end(numbers, number)
                at, number = put_between(buffer, at, numbers, number, end), end + 1
            propensity = number
            if drawn:
                number = _number_end(numbers, number) + 1
            at = put(buffer, at, pieces, piece_ends, 4)
            at = put(buffer, at, strategies, strategy_ends, strategy[f])
            if drawn:
                at = put(buffer, at, pieces, piece_ends, 6)
                end = _number_end(numbers, propensity)
                at = put_between(buffer, at, numbers, propensity, end)
                at = put(buffer, at, pieces, piece_ends, 7)
            else:
                at = put(buffer, at, pieces, piece_ends, 5)
            for p in range(len(key_ends) - 1):
                if p:
                    buffer[at] = COMMA
                    at += 1
                at = put(buffer, at, keys, key_ends, p)
                end = _number_end(numbers, number)
                at, number = put_between(buffer, at, numbers, number, end), end + 1
            buffer[at] = END
            at += 1
            if drawn:
                at = put(buffer, at, moves, move_ends, moved_by[f])
                if promoted[f]:
                    at = put(buffer, at, pieces, piece_ends, 8)
            buffer[at] = END
            at += 1
        list_ends[u + 1] = at


@compiled_part
def _number_end(numbers: Bytes, start: int) -> int:
    """Where a number of a JSON array ends."""
    end = start
    while numbers[end] != COMMA and numbers[end] != CLOSE:
        end += 1
    return end

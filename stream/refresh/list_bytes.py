"""The places of many lists as JSON, in one compiled pass: what msgspec would write of `stream.wire.records.RecommendedItem`.

Scores are written with all their digits, which is msgspec's work: it writes the numbers of a batch at once, and they are
copied.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.compiled import compiled, compiled_part
from models.vocabulary import STRATEGIES
from stream.refresh.json_bytes import CLOSE, COMMA, END, NUMBER, Bytes, Ids, Slices, blob, put, put_between, put_whole


class ListedPlaces(NamedTuple):
    """Of f places."""

    rank: I8
    """(f,) from 1."""
    strategy: NDArray[np.uint8]
    score: F8
    probability: F8
    parts: F8
    """(f, p)"""


def list_places_json(items: Ids, places: ListedPlaces, names: tuple[str, ...], starts: I8) -> Slices:
    """The elements of `Recommendation.items` of u lists; `items` (f,); `names` of the p parts; `starts` (u + 1,)."""
    numbers = np.column_stack((places.score, places.probability, places.parts))
    written = np.frombuffer(msgspec.json.encode(numbers.ravel().tolist()), np.uint8)
    keys = blob([b"%b:" % msgspec.json.encode(name) for name in names])
    fixed = len(_PIECES.data) + _LONGEST_STRATEGY + len(keys.data) + numbers.shape[1] + NUMBER + 8
    buffer = np.empty(int((items.end - items.start).sum()) + len(written) + len(places.rank) * fixed, np.uint8)
    ends = np.zeros(len(starts), np.int64)
    _write(buffer, ends, starts, *items, *_STRATEGIES, *_PIECES, *keys, places.rank, places.strategy, written)
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


_PIECES = blob(
    [b'{"item_id":', b',"rank":', b',"score":', b',"probability":', b',"strategy":', b',"propensity":1.0,"parts":{']
)
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
    rank: I8,
    strategy: NDArray[np.uint8],
    numbers: Bytes,
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
            at = put(buffer, at, pieces, piece_ends, 4)
            at = put(buffer, at, strategies, strategy_ends, strategy[f])
            at = put(buffer, at, pieces, piece_ends, 5)
            for p in range(len(key_ends) - 1):
                if p:
                    buffer[at] = COMMA
                    at += 1
                at = put(buffer, at, keys, key_ends, p)
                end = _number_end(numbers, number)
                at, number = put_between(buffer, at, numbers, number, end), end + 1
            buffer[at], buffer[at + 1] = END, END
            at += 2
        list_ends[u + 1] = at


@compiled_part
def _number_end(numbers: Bytes, start: int) -> int:
    """Where a number of a JSON array ends."""
    end = start
    while numbers[end] != COMMA and numbers[end] != CLOSE:
        end += 1
    return end

"""Between columns and the bytes of many records one behind another: moved by compiled loops, whatever the record's head is.

A record is its head, then of its n neighbours the hashes, the weights and the forward weights, then of its m fences the
partitions and the offsets, then four bytes for its checksum. Little endian, as the machines are that this runs on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.compiled import compiled, compiled_part

U1 = NDArray[np.uint8]

_EIGHT, _TWO = 8, 2


class RecordParts(NamedTuple):
    """What n records have behind their heads, in compressed rows; as columns, or the same memory as bytes, uint8."""

    neighbour_start: I8
    """(n + 1,)."""
    neighbours: NDArray[Any]
    """(p,) uint64."""
    weights: NDArray[Any]
    """(p,) float64."""
    forwards: NDArray[Any]
    """(p,) float64."""
    fence_start: I8
    """(n + 1,)."""
    fence_partition: NDArray[Any]
    """(q,) uint16."""
    fence_offset: NDArray[Any]
    """(q,) int64."""


@compiled
def fill_bytes(body: U1, starts: I8, heads: U1, parts: RecordParts) -> None:
    """Write n records to `body`, but their checksums: record i to `starts[i]`, of `parts` as bytes and `heads` (n * size)."""
    size = len(heads) // max(1, len(starts) - 1)
    for i in range(len(starts) - 1):
        at = starts[i]
        _copy(body, at, heads, i * size, size)
        at += size
        begin, n = parts.neighbour_start[i], parts.neighbour_start[i + 1] - parts.neighbour_start[i]
        _copy(body, at, parts.neighbours, begin * _EIGHT, n * _EIGHT)
        _copy(body, at + n * _EIGHT, parts.weights, begin * _EIGHT, n * _EIGHT)
        _copy(body, at + 2 * n * _EIGHT, parts.forwards, begin * _EIGHT, n * _EIGHT)
        at += 3 * n * _EIGHT
        begin, n = parts.fence_start[i], parts.fence_start[i + 1] - parts.fence_start[i]
        _copy(body, at, parts.fence_partition, begin * _TWO, n * _TWO)
        _copy(body, at + n * _TWO, parts.fence_offset, begin * _EIGHT, n * _EIGHT)


@compiled
def take_parts(body: U1, starts: I8, head_size: int, parts: RecordParts) -> None:
    """Read what is behind the heads into `parts` as bytes, whose starts fit the records' lengths."""
    for i in range(len(starts) - 1):
        at = starts[i] + head_size
        begin, n = parts.neighbour_start[i], parts.neighbour_start[i + 1] - parts.neighbour_start[i]
        _copy(parts.neighbours, begin * _EIGHT, body, at, n * _EIGHT)
        _copy(parts.weights, begin * _EIGHT, body, at + n * _EIGHT, n * _EIGHT)
        _copy(parts.forwards, begin * _EIGHT, body, at + 2 * n * _EIGHT, n * _EIGHT)
        at += 3 * n * _EIGHT
        begin, n = parts.fence_start[i], parts.fence_start[i + 1] - parts.fence_start[i]
        _copy(parts.fence_partition, begin * _TWO, body, at, n * _TWO)
        _copy(parts.fence_offset, begin * _EIGHT, body, at + n * _TWO, n * _EIGHT)


@compiled_part
def _copy(to: U1, at: int, source: U1, begin: int, n: int) -> None:
    """With unsigned places, which are never negative: else each is asked whether it counts from the end, and nothing of this
    becomes a block move (measured: 25 times slower)."""
    first, start = np.uint64(at), np.uint64(begin)
    for b in range(np.uint64(n)):
        to[first + b] = source[start + b]

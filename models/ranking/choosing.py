"""Which candidates can be listed at all: an upper bound of every score in single precision, many at once.

Nearly all candidates are far from the list. Their scores are bounded cheaply: the impersonal part comes from a table
(`models.ranking.moment`), logarithms of many sums from one polynomial. Whoever lists computes the kept ones exactly, and asks
whether any other could still be better (`is_certain`); then nothing but time is lost by the bound.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled, compiled_part
from models.items.near import dot
from models.ranking.features import CATEGORY, CONTEXT, NEAR_UNIT, SCALES, SEQUENCE, TEXT

MARGIN: Final = 6
"""So many more than are listed are kept."""

ROUNDING: Final = 2e-4
"""Error of a bound, per unit of the sum of absolute weights: features stay below 30, and single precision has 24 bits."""

NEARLY_NOTHING: Final = np.float32(1e-3)
"""Whether a smaller personal part is above 0, single precision does not know."""

_NODES = (np.cos(np.pi * (np.arange(64) + 0.5) / 64) + 1.0) / 2.0
_LOG = np.linalg.lstsq(_NODES[:, None] ** np.arange(1, 9), np.log1p(_NODES), rcond=None)[0].astype(np.float32)
"""log(1 + t) for t in [0, 1], as a polynomial without a constant term: error below 3e-7."""


@compiled_part
def bound_scores(
    item: I4,
    near: F8,
    sequence: F4,
    category: F8,
    weights: F8,
    feedback: F8,
    base: F4,
    scene: F4,
    wanted: F4,
    row: I8,
    table: F4,
    scratch: F4,
    kept: I8,
    bounds: F4,
    count: F8,
    hashes: NDArray[np.uint64],
) -> None:
    """Fill (m,) `bounds` for one user's m candidates.

    By text a candidate can gain no more than the length of the user's vector. Where even that does not bring it among the best
    of those that are good without, its vector is not looked at, and that is its bound.

    Args:
        item: (m,) dense indices.
        near, sequence, category: (m, S), (m,), (m,) of `Candidates`.
        weights: (F,) of the user.
        feedback: (2,) what is added without and with something personal.
        base, scene: (n,) of the user's class and context; `scene` is empty where the context says nothing.
        wanted: (2, dims) of the user; dims is 0 where there is no text.
        row, table: (m,) rows of (n, dims), -1 where a candidate has no vector.
        scratch: (2, S * m) or more.
        kept: (r,) scratch; as many candidates as will be kept.
        bounds: out.
        count, hashes: (n,) of items.
    """
    m, n = len(item), 0
    shifted, logs = scratch[0], scratch[1]
    weight, used = weights.astype(np.float32), np.empty(len(SCALES), np.int64)
    for s in range(len(SCALES)):
        says_something = False
        if weight[s] != 0.0:
            for c in range(m):
                says_something |= near[c, s] != 0.0
                shifted[n * m + c] = np.float32(1.0 + abs(near[c, s]) / NEAR_UNIT)
        if says_something:  # `co_hour` does not at the start of a session: then it costs no logarithm
            used[n] = s
            n += 1
    log_of_many(shifted[: n * m], logs)
    for c in range(m):
        bounds[c] = weight[SEQUENCE] * sequence[c] + weight[CATEGORY] * np.float32(category[c])
    for k in range(n):
        s = used[k]
        for c in range(m):
            bounds[c] += weight[s] * logs[k * m + c] * np.float32(1.0 if near[c, s] >= 0.0 else -1.0)
    low, high = np.float32(feedback[0]), np.float32(feedback[1])
    rest = logs  # of what is not personal; the logarithms are not needed any more
    for c in range(m):
        rest[c] = base[item[c]]
        if len(scene):
            rest[c] += weight[CONTEXT + 2] * scene[item[c]]
    if wanted.shape[1] == 0:
        for c in range(m):
            bounds[c] = _bound(bounds[c], rest[c], low, high)
        return
    _add_text(item, weight, wanted, row, table, rest, low, high, shifted[:m], kept, bounds, count, hashes)


@compiled_part
def _add_text(
    item: I4,
    weight: F4,
    wanted: F4,
    row: I8,
    table: F4,
    rest: F4,
    low: np.float32,
    high: np.float32,
    upper: F4,
    kept: I8,
    bounds: F4,
    count: F8,
    hashes: NDArray[np.uint64],
) -> None:
    """Make (m,) bounds of what all but text brings to the personal part; `rest` is what is not personal, `upper` is scratch."""
    vector, length = np.empty(wanted.shape[1], np.float32), np.float32(0.0)
    for d in range(len(vector)):
        vector[d] = weight[TEXT] * wanted[0, d] + weight[TEXT + 1] * wanted[1, d]
        length += vector[d] * vector[d]
    gain = np.sqrt(length) * np.float32(1.001) + max(low, high)
    for c in range(len(item)):
        upper[c] = bounds[c] + rest[c] + (gain if row[c] >= 0 else max(low, high))
    bar = np.float32(-np.inf)
    if len(item) > len(kept):
        keep_best(upper, item, count, hashes, kept)
        bar = np.float32(np.inf)
        for c in kept:
            bounds[c] += dot(vector, table[row[c]]) if row[c] >= 0 else np.float32(0.0)
            upper[c] = np.float32(-np.inf)  # has been looked at
            bounds[c] = _bound(bounds[c], rest[c], low, high)
            bar = min(bar, bounds[c])
    for c in range(len(item)):
        if upper[c] >= bar:
            if row[c] >= 0:
                bounds[c] += dot(vector, table[row[c]])
            bounds[c] = _bound(bounds[c], rest[c], low, high)
        elif upper[c] > -np.inf:
            bounds[c] = upper[c]


@compiled_part
def _bound(personal: np.float32, rest: np.float32, low: np.float32, high: np.float32) -> np.float32:
    added = low if personal == 0.0 else max(low, high) if abs(personal) < NEARLY_NOTHING else low
    if personal >= NEARLY_NOTHING:
        added = high
    return personal + added + rest


@compiled
def log_of_many(values: F4, logs: F4) -> None:
    """Fill `logs` with the natural logarithms of (n,) float32 `values` >= 1, which are overwritten: exponent and polynomial."""
    bits = values.view(np.int32)
    for i in range(len(values)):
        logs[i] = np.float32((bits[i] >> np.int32(23)) - np.int32(127))
        bits[i] = (bits[i] & np.int32(0x7FFFFF)) | np.int32(0x3F800000)
    for i in range(len(values)):
        t = values[i] - np.float32(1.0)
        p = _LOG[7]
        p = p * t + _LOG[6]
        p = p * t + _LOG[5]
        p = p * t + _LOG[4]
        p = p * t + _LOG[3]
        p = p * t + _LOG[2]
        p = p * t + _LOG[1]
        p = p * t + _LOG[0]
        logs[i] = logs[i] * np.float32(0.6931471805599453) + p * t


@compiled
def keep_best(bounds: F4, item: I4, count: F8, hashes: NDArray[np.uint64], kept: I8) -> float:
    """Fill (r,) `kept` with the positions of the r best of more than r bounds, in no order; the best of those left out.

    Of equal bounds the item with the higher count is kept, then the one with the lower hash.
    """
    room, worst, left_out = len(kept), 0, np.float32(-np.inf)
    for c in range(len(bounds)):
        if c < room:
            kept[c] = c
            if c == room - 1:
                worst = _worst(bounds, item, count, hashes, kept)
            continue
        bar = bounds[kept[worst]]
        if bounds[c] < bar or (bounds[c] == bar and not _goes_before(item[c], item[kept[worst]], count, hashes)):
            left_out = max(left_out, bounds[c])
            continue
        left_out = max(left_out, bar)
        kept[worst] = c
        worst = _worst(bounds, item, count, hashes, kept)
    return float(left_out)


@compiled_part
def _worst(bounds: F4, item: I4, count: F8, hashes: NDArray[np.uint64], kept: I8) -> int:
    worst = 0
    for r in range(1, len(kept)):
        a, b = bounds[kept[r]], bounds[kept[worst]]
        if a < b or (a == b and _goes_before(item[kept[worst]], item[kept[r]], count, hashes)):
            worst = r
    return worst


@compiled_part
def _goes_before(a: int, b: int, count: F8, hashes: NDArray[np.uint64]) -> bool:
    return bool(count[a] > count[b] or (count[a] == count[b] and hashes[a] < hashes[b]))


@compiled
def is_certain(last_listed: float, left_out: float, tolerance: float) -> bool:
    """Whether nothing that was left out, with this bound, can be better than the last that is listed."""
    return bool(last_listed > left_out + tolerance)

"""What a large installation has before a worker starts: a catalogue, statistics of a part of it, states of all users.

In the formats and by the packing code of the product, seeded. Items are `i0`, `i1`, ..; the first ones have the statistics, and
are the ones that histories and events name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import FIRST_EVENT_MS
from models.hashing import item_hash
from models.items.record import ENTRY_DAYS, MOMENTS, TREND_DAYS, RecordColumns, pack_records

AT_ONCE = 500
"""Records packed together."""

NEIGHBOURS_MEDIAN = 40
NEIGHBOURS_SPREAD = 1.0
NEIGHBOURS_MAX = 300
"""Of an item: log-normal, a fiftieth have as many as are kept."""


def descriptions(n: int, *, changed: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """`(item_id, JSON)` of n items of a catalogue; `changed`: with other prices."""
    for i in range(n):
        price = (i + changed) / 100
        item = {"item_id": f"i{i}", "title": f"Item number {i}", "categories": [f"c{i % 100}"], "price": price}
        yield f"i{i}".encode(), msgspec.json.encode(item)


def statistics(known: int, seed: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """`(item_id, packed record)` of the first `known` items: counts with a tail, neighbours among them, nothing fenced."""
    rng = np.random.default_rng(seed)
    hashes = np.array([item_hash(f"i{i}") for i in range(known)], np.uint64)
    for begin in range(0, known, AT_ONCE):
        numbers = np.arange(begin, min(begin + AT_ONCE, known))
        for i, value in zip(numbers.tolist(), pack_records(_records(rng, numbers, hashes)), strict=True):
            yield f"i{i}".encode(), value


def _records(rng: np.random.Generator, numbers: NDArray[np.int64], hashes: NDArray[np.uint64]) -> RecordColumns:
    m, known = len(numbers), len(hashes)
    most = min(NEIGHBOURS_MAX, known - 1)
    lengths = np.clip(np.rint(rng.lognormal(np.log(NEIGHBOURS_MEDIAN), NEIGHBOURS_SPREAD, m)), 0, most).astype(np.int64)
    starts = np.append(0, np.cumsum(lengths))
    row = np.repeat(np.arange(m), lengths)
    # Steps of random length around the ring of items: nobody is met twice, nor met by itself.
    steps = rng.integers(1, max(2, known // (most + 1) + 1), len(row)).cumsum()
    base = np.append(0, steps)[starts[:-1]]
    near = hashes[(numbers[row] + steps - base[row]) % known]
    near = near[np.lexsort((near, row))]
    counts = 1 + 1_000_000 // (numbers + 10)
    weights = rng.random(len(near)) * 20
    return RecordColumns(
        count=counts, first_seen_ms=np.full(m, FIRST_EVENT_MS), trend_ms=np.full(m, FIRST_EVENT_MS),
        trend=rng.random((m, len(TREND_DAYS))) * counts[:, None],
        entry=rng.random((m, len(ENTRY_DAYS))), exposures=counts * 20, clicks=counts,
        moments=rng.integers(0, 9, (m, MOMENTS)), neighbour_start=starts, neighbours=near,
        neighbour_weights=weights, neighbour_forwards=weights * rng.random(len(near)),
        fence_start=np.zeros(m + 1, np.int64), fence_partition=np.zeros(0, np.int64), fence_offset=np.zeros(0, np.int64),
    )  # fmt: skip


def changelog(packed: Sequence[bytes], users: int) -> Iterator[tuple[bytes, bytes]]:
    """`(user_id, packed state)` of users `u0`, `u1`, ..; beyond the number of states the same ones come again."""
    return ((f"u{i}".encode(), packed[i % len(packed)]) for i in range(users))

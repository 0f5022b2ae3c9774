"""Users of one partition held in memory: everyone changed since the last commit, and whoever was read since.

Read overlay first, then one multi-get for the rest of a chunk. Nothing here is durable until `commit` made it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.rocks import PartitionStore
from stream.state import ROW_BYTES, States, pack, unpack_into

MIN_ROWS = 1024


class Snapshot(NamedTuple):
    """Packed records of the users changed since the last snapshot."""

    keys: list[bytes]
    values: list[bytes]


class Overlay:
    """Rows of `States` by user id, over a partition's store."""

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self._row_of: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self.states = States(MIN_ROWS)
        self._dirty = np.zeros(MIN_ROWS, bool)

    def rows(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Row of each user `(n,)`, loading those that are not in memory with one multi-get."""
        row_of = self._row_of
        rows = [row_of.get(key, -1) for key in keys]
        if -1 in rows:
            missing = list({key: None for key, row in zip(keys, rows, strict=True) if row < 0})
            self._load(missing)
            rows = [row_of[key] for key in keys]
        return np.array(rows, np.int64)

    def mark_dirty(self, rows: NDArray[np.int64]) -> None:
        """These users changed; the next snapshot includes them."""
        self._dirty[rows] = True

    def keys_of(self, rows: NDArray[np.int64]) -> list[bytes]:
        """User ids of rows."""
        return [self._keys[row] for row in rows.tolist()]

    def snapshot(self) -> Snapshot:
        """Packed records of everyone changed since the last one. A change made from now on is the next one's."""
        rows = np.flatnonzero(self._dirty[: len(self._keys)])
        self._dirty[rows] = False
        return Snapshot(self.keys_of(rows), pack(self.states, rows))

    def trim(self, max_bytes: int) -> None:
        """Forget everyone if the overlay is larger than `max_bytes` and nobody is dirty: RocksDB has them all."""
        if self.nbytes > max_bytes and not self._dirty.any():
            self.__init__(self._store)  # type: ignore[misc]

    @property
    def nbytes(self) -> int:
        """Memory of the rows in use, in bytes."""
        return len(self._keys) * ROW_BYTES

    @property
    def n_dirty(self) -> int:
        """Users changed since the last snapshot."""
        return int(self._dirty.sum())

    def _load(self, keys: list[bytes]) -> None:
        start = len(self._keys)
        while start + len(keys) > self.states.capacity:
            self.states.grow(self.states.capacity * 2)
            self._dirty = np.concatenate([self._dirty, np.zeros_like(self._dirty)])
        for row, (key, value) in enumerate(zip(keys, self._store.get_many(keys), strict=True), start):
            self._row_of[key] = row
            self._keys.append(key)
            if value is not None:
                unpack_into(self.states, row, value)

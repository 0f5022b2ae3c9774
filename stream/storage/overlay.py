"""Users of one partition held in memory: everyone changed since the last commit, and whoever was read since.

Read overlay first, then one multi-get for the rest of a chunk. Nothing here is durable until `commit` made it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.errors import CorruptStateError
from stream.storage.rocks import PartitionStore
from stream.storage.unreadable import UnreadableRecords

MIN_ROWS = 1024


class Snapshot(NamedTuple):
    """Packed records of the users changed since the last snapshot."""

    keys: list[bytes]
    values: list[bytes]


class Rows(Protocol):
    """What users have, as arrays with a row for each: `state.States`, `ledger.Ledgers`."""

    row_bytes: int
    """Memory of one row."""

    def __init__(self, capacity: int) -> None: ...

    @property
    def capacity(self) -> int: ...

    def grow(self, capacity: int) -> None: ...

    def clear(self, row: int) -> None: ...

    def take(self: R, rows: NDArray[np.int64], capacity: int) -> R: ...

    def pack(self, rows: NDArray[np.int64]) -> list[bytes]: ...

    def unpack(self, rows: NDArray[np.int64], values: Sequence[bytes]) -> None:
        """Raises CorruptStateError, and then nothing was written."""


R = TypeVar("R", bound=Rows)


class Overlay(Generic[R]):
    """Rows by user id, over a partition's store, where they lie under `prefix` + user id."""

    def __init__(self, store: PartitionStore, kind: type[R], prefix: bytes = b"") -> None:
        self._store, self._kind, self._prefix = store, kind, prefix
        self.unreadable = UnreadableRecords()
        self._row_of: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self.states = kind(MIN_ROWS)
        self._dirty = np.zeros(MIN_ROWS, bool)
        self._used = np.zeros(MIN_ROWS, np.int64)
        self._turn = 0
        self._cleared: set[bytes] = set()
        """Since the last snapshot: the store still has what is gone, so their rows must stay."""

    def rows(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Row of each user `(n,)`, loading those that are not in memory with one multi-get.

        -1 of users whose stored bytes cannot be read: they have no row, so that nothing is ever written over those bytes. They
        are asked for anew each time, and told of in `unreadable`.
        """
        row_of = self._row_of
        rows = [row_of.get(key, -1) for key in keys]
        if -1 in rows:
            missing = list({key: None for key, row in zip(keys, rows, strict=True) if row < 0})
            self._load(missing)
            rows = [row_of.get(key, -1) for key in keys]
        found = np.array(rows, np.int64)
        self._turn += 1
        self._used[found[found >= 0]] = self._turn
        return found

    def __contains__(self, key: bytes) -> bool:
        """Whether the user is in memory."""
        return key in self._row_of

    def mark_dirty(self, rows: NDArray[np.int64]) -> None:
        """These users changed; the next snapshot includes them."""
        self._dirty[rows] = True

    def clear(self, key: bytes) -> None:
        """Nothing is known of this user from here on, whatever the store still has."""
        row = self._row_of.get(key)
        if row is None:
            self._make_room(1)
            row = len(self._keys)
            self._take_in([key], [None])
        self.states.clear(row)
        self._dirty[row] = False
        self._cleared.add(key)

    def is_dirty(self, key: bytes) -> bool:
        """Whether this user changed since the last snapshot."""
        row = self._row_of.get(key)
        return row is not None and bool(self._dirty[row])

    def keys_of(self, rows: NDArray[np.int64]) -> list[bytes]:
        """User ids of rows."""
        return [self._keys[row] for row in rows.tolist()]

    def snapshot(self) -> Snapshot:
        """Packed records of everyone changed since the last one. A change made from now on is the next one's."""
        rows = np.flatnonzero(self._dirty[: len(self._keys)])
        self._dirty[rows] = False
        self._cleared.clear()
        return Snapshot(self._stored(self.keys_of(rows)), self.states.pack(rows))

    def trim(self, max_bytes: int) -> bool:
        """If the overlay is larger than `max_bytes`, forget those longest unused, down to half of it; whether it was.

        To be called when the last snapshot is in the store: it then has everyone who is not dirty, and those stay here.
        """
        if self.nbytes <= max_bytes:
            return False
        n = len(self._keys)
        room = max_bytes // (2 * self.states.row_bytes)
        kept = self._dirty[:n].copy()
        kept[[self._row_of[key] for key in self._cleared]] = True
        latest = np.argsort(self._used[:n], kind="stable")[n - room :] if room < n else np.arange(n)
        kept[latest if room else latest[:0]] = True
        rows = np.flatnonzero(kept)
        capacity = max(MIN_ROWS, 1 << (len(rows) - 1).bit_length())
        self.states = self.states.take(rows, capacity)
        self._keys = self.keys_of(rows)
        self._row_of = {key: row for row, key in enumerate(self._keys)}
        self._dirty, self._used = (
            np.concatenate([column[rows], np.zeros(capacity - len(rows), column.dtype)])
            for column in (self._dirty, self._used)
        )
        return True

    @property
    def nbytes(self) -> int:
        """Memory of the rows in use, in bytes."""
        return len(self._keys) * self.states.row_bytes

    @property
    def n_dirty(self) -> int:
        """Users changed since the last snapshot."""
        return int(self._dirty.sum())

    def _load(self, keys: list[bytes]) -> None:
        values = self._store.get_many(self._stored(keys))
        self._make_room(len(keys))
        try:
            self._take_in(keys, values)
        except CorruptStateError:  # of one or more of them; nothing was taken in
            trial = self._kind(1)  # here, and not once for all: however few its rows, it reserves much address space
            readable = [self._is_readable(key, value, trial) for key, value in zip(keys, values, strict=True)]
            self._take_in(list(compress(keys, readable)), list(compress(values, readable)))

    def _make_room(self, n: int) -> None:
        while len(self._keys) + n > self.states.capacity:
            self.states.grow(self.states.capacity * 2)
            self._dirty, self._used = (np.concatenate([c, np.zeros_like(c)]) for c in (self._dirty, self._used))

    def _is_readable(self, key: bytes, value: bytes | None, trial: R) -> bool:
        if value is None:
            return True
        try:
            trial.unpack(np.zeros(1, np.int64), [value])
        except CorruptStateError as error:
            self.unreadable.met(key, value, str(error))
            return False
        return True

    def _take_in(self, keys: list[bytes], values: list[bytes | None]) -> None:
        start = len(self._keys)
        stored = np.array([row for row, value in enumerate(values, start) if value is not None], np.int64)
        self.states.unpack(stored, [value for value in values if value is not None])
        self._row_of.update(zip(keys, range(start, start + len(keys)), strict=True))
        self._keys.extend(keys)

    def _stored(self, keys: list[bytes]) -> list[bytes]:
        return [self._prefix + key for key in keys] if self._prefix else keys

"""Dense numbers for items: hashes (u64) are what is stored, indices (int32) are what arrays are addressed by.

An open-addressing hash table (Knuth, TAOCP vol. 3, 6.4: linear probing) in two NumPy arrays, at most half full, probed by a
compiled loop. Against a sorted array with `searchsorted` it also grows in place; against a dict it needs no Python int per
query. A table that is half full is replaced by one of twice the size; what it holds moves a few thousand slots at a time, since
nobody may wait until half a million items have moved (20 ms, most of it pages of memory that are used for the first time).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.arrays import I4, U64
from models.compiled import compiled, compiled_part
from models.hashing import NO_ITEM
from models.items.growing import GrowingArray, zeros_when_used

NO_INDEX = -1
"""What `lookup` answers for an item that is not there; also the padding of index arrays."""

_FIRST_BITS = 10
_MOVED_SLOTS = 4096
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: ids hashed by someone else may share their low bits


class ItemIndex:
    """Append-only numbering of item hashes: 0, 1, 2, .. in the order of first sight. Not thread-safe while it grows."""

    __slots__ = ("_before", "_hashes", "_moved", "_table")

    def __init__(self) -> None:
        self._hashes = GrowingArray(np.uint64)
        self._table, self._before, self._moved = _table(_FIRST_BITS), _NO_TABLE, 0

    def __len__(self) -> int:
        """Number of items; every index is below it."""
        return len(self._hashes)

    @property
    def hashes(self) -> U64:
        """(n,) uint64: of every item."""
        return self._hashes.values

    def lookup(self, hashes: ArrayLike) -> NDArray[np.int32]:
        """Index of each hash, `NO_INDEX` where unknown or `NO_ITEM`. Any shape uint64 -> same shape int32."""
        asked = np.asarray(hashes, np.uint64)
        found = np.empty(asked.size, np.int32)
        _lookup(*self._table, *self._before, np.ascontiguousarray(asked).reshape(-1), found)
        return found.reshape(asked.shape)

    def intern(self, hashes: ArrayLike) -> NDArray[np.int32]:
        """Like `lookup`, but numbers unknown hashes first: (n,) uint64, repeats allowed -> (n,) int32.

        `NO_ITEM` is never numbered and gets `NO_INDEX`.
        """
        asked = np.asarray(hashes, np.uint64)
        found = self.lookup(asked)
        unknown = (found == NO_INDEX) & (asked != NO_ITEM)
        if unknown.any():
            new, first = np.unique(asked[unknown], return_index=True)
            self._append(new[np.argsort(first)])
            found[unknown] = self.lookup(asked[unknown])
        return found

    def hash_of(self, indices: ArrayLike) -> NDArray[np.uint64]:
        """Hash of each index, `NO_ITEM` for a negative one. Any shape int -> same shape uint64.

        Raises:
            IndexError: an index that was never given out.
        """
        asked = np.asarray(indices, np.int64)
        known = self._hashes.values
        if not known.size:
            if (asked >= 0).any():
                raise IndexError("no item has an index yet")
            return np.zeros(asked.shape, np.uint64)
        return np.where(asked < 0, np.uint64(NO_ITEM), known[np.maximum(asked, 0)])

    def _append(self, new: NDArray[np.uint64]) -> None:
        """Number hashes that are distinct and unknown."""
        before, size = len(self), len(self) + new.size
        self._hashes.grow(size)
        self._hashes.values[before:] = new
        if 2 * size > self._table.hashes.size:
            self._move(self._before.hashes.size)
            self._before, self._table, self._moved = self._table, _table((2 * size - 1).bit_length()), 0
        # Faster than the new table can become half full.
        self._move(max(_MOVED_SLOTS, 8 * new.size))
        _place(*self._table, self._hashes.values, before, size)

    def _move(self, slots: int) -> None:
        """Enter what is in so many slots more of the table before into the one that took its place."""
        end = min(self._moved + slots, self._before.hashes.size)
        _move(self._before.hashes, self._before.indices, self._moved, end, *self._table)
        self._moved = end
        if end == self._before.hashes.size:
            self._before, self._moved = _NO_TABLE, 0


class _Table(NamedTuple):
    """The item with a hash stands in the first slot that its first `bits` bits, when multiplied, say, or in one soon after."""

    hashes: U64
    """0 where nothing stands."""
    indices: I4
    bits: int


def _table(bits: int) -> _Table:
    return _Table(zeros_when_used(np.uint64, 1 << bits), zeros_when_used(np.int32, 1 << bits), bits)


_NO_TABLE: Final = _Table(np.zeros(0, np.uint64), np.zeros(0, np.int32), 0)


@compiled_part
def _first_slot(hashed: np.uint64, bits: int) -> np.uint64:
    return (hashed * _SPREAD) >> np.uint64(64 - bits)


@compiled
def _lookup(
    slot_hash: U64, slot_index: I4, bits: int, old_hash: U64, old_index: I4, old_bits: int, asked: U64, found: I4
) -> None:
    """In the table, else in the one before it, which has no slots where all has been moved."""
    for i in range(len(asked)):
        found[i] = _find(slot_hash, slot_index, bits, asked[i])
        if found[i] == NO_INDEX and len(old_hash):
            found[i] = _find(old_hash, old_index, old_bits, asked[i])


@compiled_part
def _find(slot_hash: U64, slot_index: I4, bits: int, hashed: np.uint64) -> int:
    """An empty slot holds `NO_ITEM`, 0."""
    mask = np.uint64(len(slot_hash) - 1)
    slot = _first_slot(hashed, bits)
    while slot_hash[slot] != hashed and slot_hash[slot] != 0:
        slot = (slot + np.uint64(1)) & mask
    return int(slot_index[slot]) if slot_hash[slot] != 0 else NO_INDEX


@compiled
def _place(slot_hash: U64, slot_index: I4, bits: int, hashes: U64, begin: int, end: int) -> None:
    """Enter items `begin` to `end`, which are not there."""
    for i in range(begin, end):
        _enter(slot_hash, slot_index, bits, hashes[i], i)


@compiled
def _move(old_hash: U64, old_index: I4, begin: int, end: int, slot_hash: U64, slot_index: I4, bits: int) -> None:
    """Enter what is in slots `begin` to `end` of a smaller table. Those that were neighbours come to lie near each other, since
    the first bits of what is multiplied choose the slot; so this writes to memory in its order."""
    for slot in range(begin, end):
        if old_hash[slot] != 0:
            _enter(slot_hash, slot_index, bits, old_hash[slot], old_index[slot])


@compiled_part
def _enter(slot_hash: U64, slot_index: I4, bits: int, hashed: np.uint64, i: int) -> None:
    mask = np.uint64(len(slot_hash) - 1)
    slot = _first_slot(hashed, bits)
    while slot_hash[slot] != 0:
        slot = (slot + np.uint64(1)) & mask
    slot_hash[slot], slot_index[slot] = hashed, i

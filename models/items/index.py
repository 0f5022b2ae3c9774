"""Dense numbers for items: hashes (u64) are what is stored, indices (int32) are what arrays are addressed by.

An open-addressing hash table (Knuth, TAOCP vol. 3, 6.4: linear probing) in two NumPy arrays, at most half full, probed by a
compiled loop. Against a sorted array with `searchsorted` it also grows in place; against a dict it needs no Python int per
query.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.arrays import I4, U64
from models.compiled import compiled, compiled_part
from models.hashing import NO_ITEM
from models.items.growing import GrowingArray

NO_INDEX = -1
"""What `lookup` answers for an item that is not there; also the padding of index arrays."""

_FIRST_BITS = 10
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: ids hashed by someone else may share their low bits


class ItemIndex:
    """Append-only numbering of item hashes: 0, 1, 2, .. in the order of first sight. Not thread-safe while it grows."""

    __slots__ = ("_bits", "_hashes", "_slot_hash", "_slot_index")

    def __init__(self) -> None:
        self._hashes = GrowingArray(np.uint64)
        self._allocate(_FIRST_BITS)

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
        _lookup(self._slot_hash, self._slot_index, self._bits, np.ascontiguousarray(asked).reshape(-1), found)
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
        if 2 * size > self._slot_hash.size:
            self._allocate((2 * size - 1).bit_length())
            before = 0
        _place(self._slot_hash, self._slot_index, self._bits, self._hashes.values, before, size)

    def _allocate(self, bits: int) -> None:
        self._bits = bits
        self._slot_hash = np.zeros(1 << bits, np.uint64)
        self._slot_index = np.full(1 << bits, NO_INDEX, np.int32)


@compiled_part
def _first_slot(hashed: np.uint64, bits: int) -> np.uint64:
    return (hashed * _SPREAD) >> np.uint64(64 - bits)


@compiled
def _lookup(slot_hash: U64, slot_index: I4, bits: int, asked: U64, found: I4) -> None:
    """An empty slot holds `NO_ITEM`, 0, and its index is `NO_INDEX`: no case is special."""
    mask = np.uint64(len(slot_hash) - 1)
    for i in range(len(asked)):
        slot = _first_slot(asked[i], bits)
        while slot_hash[slot] != asked[i] and slot_hash[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        found[i] = slot_index[slot]


@compiled
def _place(slot_hash: U64, slot_index: I4, bits: int, hashes: U64, begin: int, end: int) -> None:
    """Enter items `begin` to `end`, which are not there."""
    mask = np.uint64(len(slot_hash) - 1)
    for i in range(begin, end):
        slot = _first_slot(hashes[i], bits)
        while slot_hash[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slot_hash[slot], slot_index[slot] = hashes[i], i

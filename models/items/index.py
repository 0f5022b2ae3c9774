"""Dense numbers for items: hashes (u64) are what is stored, indices (int32) are what arrays are addressed by.

An open-addressing hash table (Knuth, TAOCP vol. 3, 6.4: linear probing) in two NumPy arrays, at most half full and
probed for all queries at once: the number of Python steps is the longest probe, not the number of items. Against a
sorted array with `searchsorted` it also grows in place; against a dict it needs no Python int per query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.hashing import NO_ITEM

NO_INDEX = -1
"""What `lookup` answers for an item that is not there; also the padding of index arrays."""

_FIRST_BITS = 10
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: ids hashed by someone else may share their low bits


class ItemIndex:
    """Append-only numbering of item hashes: 0, 1, 2, .. in the order of first sight. Not thread-safe while it grows."""

    __slots__ = ("_bits", "_hashes", "_size", "_slot_hash", "_slot_index")

    def __init__(self) -> None:
        self._hashes = np.zeros(1 << (_FIRST_BITS - 1), np.uint64)
        self._size = 0
        self._allocate(_FIRST_BITS)

    def __len__(self) -> int:
        """Number of items; every index is below it."""
        return self._size

    def lookup(self, hashes: ArrayLike) -> NDArray[np.int32]:
        """Index of each hash, `NO_INDEX` where unknown or `NO_ITEM`. Any shape uint64 -> same shape int32."""
        asked = np.asarray(hashes, np.uint64)
        flat = asked.ravel()
        slot = self._first_slot(flat)
        at_slot = self._slot_hash[slot]
        # Done where the slot holds the hash or nothing (0); an empty slot's index is NO_INDEX, so no case is special.
        probing = np.flatnonzero((at_slot != flat) & (at_slot != NO_ITEM))
        while probing.size:
            slot[probing] = (slot[probing] + 1) & (self._slot_hash.size - 1)
            at_slot = self._slot_hash[slot[probing]]
            probing = probing[(at_slot != flat[probing]) & (at_slot != NO_ITEM)]
        found: NDArray[np.int32] = self._slot_index[slot]
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
        known = self._hashes[: self._size]
        if not known.size:
            if (asked >= 0).any():
                raise IndexError("no item has an index yet")
            return np.zeros(asked.shape, np.uint64)
        return np.where(asked < 0, np.uint64(NO_ITEM), known[np.maximum(asked, 0)])

    def _append(self, new: NDArray[np.uint64]) -> None:
        """Number hashes that are distinct and unknown."""
        before, self._size = self._size, self._size + new.size
        if self._size > self._hashes.size:
            grown = np.zeros(1 << (self._size - 1).bit_length(), np.uint64)
            grown[:before] = self._hashes[:before]
            self._hashes = grown
        self._hashes[before : self._size] = new
        if 2 * self._size > self._slot_hash.size:
            self._allocate((2 * self._size - 1).bit_length())
            before = 0
        self._place(np.arange(before, self._size, dtype=np.int32))

    def _allocate(self, bits: int) -> None:
        self._bits = bits
        self._slot_hash = np.zeros(1 << bits, np.uint64)
        self._slot_index = np.full(1 << bits, NO_INDEX, np.int32)

    def _place(self, indices: NDArray[np.int32]) -> None:
        """Enter items into the table: all try their slot, one of those that share it wins, the others step on."""
        hashes = self._hashes[indices]
        slot = self._first_slot(hashes)
        while indices.size:
            empty = self._slot_hash[slot] == NO_ITEM
            self._slot_hash[slot[empty]] = hashes[empty]
            won = self._slot_hash[slot] == hashes
            self._slot_index[slot[won]] = indices[won]
            lost = ~won
            indices, hashes = indices[lost], hashes[lost]
            slot = (slot[lost] + 1) & (self._slot_hash.size - 1)

    def _first_slot(self, hashes: NDArray[np.uint64]) -> NDArray[Any]:
        return ((hashes * _SPREAD) >> np.uint64(64 - self._bits)).astype(np.int64)

"""Item ids by hash: state and statistics hold 64-bit hashes, records for people hold ids."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.hashing import item_hash

PARTS: Final = 64
"""Dictionaries that share the names, a power of 2. One that grows puts all it holds in new places: 30 ms for 700,000 names."""


class ItemNames:
    """Every item id met by this worker: in events, in the catalogue, as a key of the item statistics.

    Grows with the number of distinct items, as the item statistics do.
    """

    def __init__(self) -> None:
        self._hash_of: list[dict[str, int]] = [{} for _ in range(PARTS)]
        self._id_of: list[dict[int, str]] = [{} for _ in range(PARTS)]

    def hash_of(self, item_id: str) -> int:
        """Hash of an id; remembers the id."""
        part = self._hash_of[hash(item_id) & (PARTS - 1)]
        known = part.get(item_id)
        if known is None:
            known = part[item_id] = item_hash(item_id)
            self._id_of[known & (PARTS - 1)][known] = item_id
        return known

    def hash_for(self, item_id: str) -> int:
        """Hash of an id that somebody asks for; it is not remembered, or whoever asks could fill the memory."""
        known = self._hash_of[hash(item_id) & (PARTS - 1)].get(item_id)
        return item_hash(item_id) if known is None else known

    def hashes_of(self, item_ids: list[str], wanted: NDArray[np.bool_]) -> list[int]:
        """Hash of each id that is wanted, remembered; of the others any number."""
        parts, last = self._hash_of, PARTS - 1
        hashes = [parts[hash(item_id) & last].get(item_id) for item_id in item_ids]
        if None in hashes:
            hashes = [
                (self.hash_of(item_id) if want else 0) if known is None else known
                for known, item_id, want in zip(hashes, item_ids, wanted.tolist(), strict=True)
            ]
        return hashes  # type: ignore[return-value]

    def id_of(self, hashed: int) -> str | None:
        """The id, if this worker has met it."""
        return self._id_of[hashed & (PARTS - 1)].get(hashed)

"""The newest list of a user as the ledger has it, and whether it holds what may not be recommended any more. Pure.

A ledger names an item by the upper half of its hash. Two items that share it are told apart nowhere here: such a list is looked
at as if it held the one that may be recommended, so at worst it is made again when its user next does something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.items.catalog import Catalog
from stream.state.ledger import LIST, PLACE, PLACES

_HEADER_BYTES = 4
_LIST_BYTES, _PLACES_BYTES = LIST.itemsize, PLACE.itemsize * PLACES


class StoredLists(NamedTuple):
    """The newest m lists of some users."""

    who: list[int]
    """Which of the given ledgers each is of; those without a list are left out. The newest list of each first."""
    at_ms: I8
    """(m,) when each went out, event time."""
    items: NDArray[np.uint32]
    """(m, PLACES) upper halves of hashes."""
    filled: NDArray[np.bool_]
    """(m, PLACES)."""


def newest_lists(ledgers: Sequence[bytes], each: int = 1) -> StoredLists:
    """At most `each` of packed ledgers; one that cannot be read is left out: whoever needs it tells of it."""
    who, heads, bodies = [], [], []
    for i, value in enumerate(ledgers):
        n = value[1] if len(value) >= _HEADER_BYTES else 0
        end = _HEADER_BYTES + n * (_LIST_BYTES + _PLACES_BYTES)
        if not n or len(value) < end:
            continue
        places_at = end - n * _PLACES_BYTES
        for k in range(n - 1, max(-1, n - 1 - each), -1):
            who.append(i)
            heads.append(value[_HEADER_BYTES + k * _LIST_BYTES : _HEADER_BYTES + (k + 1) * _LIST_BYTES])
            bodies.append(value[places_at + k * _PLACES_BYTES : places_at + (k + 1) * _PLACES_BYTES])
    lists = np.frombuffer(b"".join(heads), LIST)
    places = np.frombuffer(b"".join(bodies), PLACE).reshape(-1, PLACES)
    return StoredLists(who, lists["ms"].astype(np.int64), places["item"].copy(), places["propensity"] > 0.0)


class ByHalfHash:
    """The items of one catalogue by the upper halves of their hashes."""

    def __init__(self, catalog: Catalog) -> None:
        """Takes some 100 ns an item: for another thread than the event loop's."""
        n = catalog.recommendable.size
        halves = (catalog.index.hash_of(np.arange(n)) >> np.uint64(32)).astype(np.uint32)
        # Of those that share a half the recommendable one first.
        order = np.lexsort((~catalog.recommendable, halves))
        self._halves, self._indices = halves[order], order
        self._recommendable = catalog.recommendable
        self.version = catalog.version

    def indices_of(self, items: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Dense indices, any shape; -1 = the catalogue has none such."""
        if not len(self._halves):
            return np.full(items.shape, -1, np.int64)
        at = np.minimum(np.searchsorted(self._halves, items), len(self._halves) - 1)
        return np.where(self._halves[at] == items, self._indices[at], -1)

    def is_stale(self, indices: NDArray[np.int64], filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(m,): whether a list (m, PLACES) holds what may not be recommended."""
        if not len(self._halves):
            return np.asarray(filled.any(axis=1))
        wrong = (indices < 0) | ~self._recommendable[np.maximum(indices, 0)]
        return np.asarray((wrong & filled).any(axis=1))

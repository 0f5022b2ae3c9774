"""The items of one partition of the item-deltas topic, in memory between commits; a partition that is revoked is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.items.rows import ItemRows
from stream.partitions.taken import Taken
from stream.storage.overlay import Snapshot
from stream.storage.rocks import PartitionStore

CACHED_ITEMS = 20_000
"""Item records that a partition keeps in memory between commits, about 1.8 KB each."""


class ItemPartition:
    """Statistics of the items of one partition of the item-deltas topic."""

    def __init__(self, store: PartitionStore, neighbours_max: int) -> None:
        self.store = store
        self.next_offset: int | None = None
        self._rows = ItemRows(neighbours_max)
        self._row_of: dict[bytes, int] = {}
        self._changed: set[bytes] = set()

    def apply(self, records: Sequence[Any]) -> None:
        """Apply deltas; one whose source offset is behind the item's fence changes nothing.

        Raises:
            ValueError: bytes that are no delta, or a stored record that is none.
        """
        row_of, keys = self._row_of, [record.key for record in records]
        missing = list({key: None for key in keys if key not in row_of})
        if missing:
            rows = self._rows.add(self.store.get_many(missing))
            row_of.update(zip(missing, rows.tolist(), strict=True))
        self._rows.apply(np.array([row_of[key] for key in keys], np.int64), [record.value for record in records])
        self._changed.update(keys)

    def take(self) -> Taken:
        """Everything since the last call that a commit writes."""
        keys, self._changed = list(self._changed), set()
        return Taken(Snapshot(keys, self._rows.pack(np.array([self._row_of[key] for key in keys], np.int64))))

    def trim(self) -> None:
        """Forget what the store has, once there is much; only when what was last taken has been written to it."""
        if len(self._rows) > CACHED_ITEMS:
            keys = list(self._changed)
            self._rows.keep(np.array([self._row_of[key] for key in keys], np.int64))
            self._row_of = {key: row for row, key in enumerate(keys)}

"""What a worker holds of one partition: the users of an events partition, the items of an item-deltas partition.

In memory between commits; a commit takes a snapshot, and a partition that is revoked is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.items.co_occurrence import batch_deltas
from models.items.names import ItemNames
from models.items.record import pack_deltas
from models.items.rows import ItemRows
from stream.outcomes.clicks import PartitionClicks
from stream.outcomes.partition import PartitionOutcomes
from stream.state.record import States
from stream.state.update import Changes
from stream.storage.overlay import Overlay, Snapshot
from stream.storage.rocks import PartitionStore

CACHED_ITEMS = 20_000
"""Item records that a partition keeps in memory between commits, about 1.8 KB each."""


class UserPartition:
    """Users of one partition of the events topic."""

    def __init__(self, partition: int, store: PartitionStore) -> None:
        self.partition = partition
        self.store = store
        self.overlay = Overlay(store, States)
        self.outcomes = PartitionOutcomes(partition, store)
        self.clicks = PartitionClicks(store)
        self.next_offset: int | None = None
        """Everything before it has been applied; None before the first chunk."""
        self._pending: list[Changes] = []
        self._pending_bytes = 0
        self._sent: deque[tuple[int, int]] = deque()

    def collect(self, changes: Changes) -> None:
        """Keep what the events say about items until the next commit."""
        self._pending.append(changes)
        self._pending_bytes += sum(column.nbytes for column in changes if isinstance(column, np.ndarray))

    @property
    def nbytes(self) -> int:
        """Memory of what waits for the next commit, and of the users held beside it, in bytes."""
        return self.overlay.nbytes + self._pending_bytes + self.outcomes.nbytes

    def reflected(self, source_offset: int) -> None:
        """The item statistics include what events up to this offset say."""
        while self._sent and self._sent[0][0] <= source_offset:
            self._sent.popleft()

    @property
    def unreflected(self) -> int:
        """First engagements applied here that the item statistics do not include yet."""
        return sum(len(c.first_item) for c in self._pending) + sum(n for _, n in self._sent)

    def take_deltas(self, pair_decay: float, forward_decay: float, names: ItemNames) -> list[tuple[bytes, bytes]]:
        """`(item_id, packed delta)` of everything collected since the last call."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending or self.next_offset is None:
            return []
        engagements = sum(len(changes.first_item) for changes in pending)
        if engagements:
            self._sent.append((self.next_offset - 1, engagements))
        items, deltas = batch_deltas(
            np.concatenate([c.first_item for c in pending]),
            np.concatenate([c.first_time_ms for c in pending]),
            np.concatenate([c.first_context for c in pending]),
            np.concatenate([c.first_history for c in pending]),
            pair_decay,
            forward_decay,
            exposed=np.concatenate([c.exposed_item for c in pending]),
            clicked=np.concatenate([c.clicked_item for c in pending]),
            source_partition=self.partition,
            source_offset=self.next_offset - 1,
        )
        named = ((names.id_of(h), value) for h, value in zip(items.tolist(), pack_deltas(deltas), strict=True))
        return [(item_id.encode(), value) for item_id, value in named if item_id is not None]


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

    def snapshot(self) -> Snapshot:
        """Keys and packed records changed since the last snapshot."""
        keys, self._changed = list(self._changed), set()
        return Snapshot(keys, self._rows.pack(np.array([self._row_of[key] for key in keys], np.int64)))

    def trim(self) -> None:
        """Forget what the store has, once there is much; only when the last snapshot has been written to it."""
        if len(self._rows) > CACHED_ITEMS:
            keys = list(self._changed)
            self._rows.keep(np.array([self._row_of[key] for key in keys], np.int64))
            self._row_of = {key: row for row, key in enumerate(keys)}

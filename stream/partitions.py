"""What a worker holds of one partition: the users of an events partition, the items of an item-deltas partition.

In memory between commits; a commit takes a snapshot, and a partition that is revoked is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.co_occurrence import batch_deltas
from models.item_record import ItemDelta, ItemRecord, pack_deltas, pack_record, unpack_delta, unpack_record
from models.item_stats import apply_deltas
from stream.names import ItemNames
from stream.overlay import Overlay, Snapshot
from stream.rocks import PartitionStore
from stream.update import Changes

CACHED_ITEMS = 5_000
"""Item records that a partition keeps decoded between commits, about 10 KB each with all neighbours."""


class UserPartition:
    """Users of one partition of the events topic."""

    def __init__(self, partition: int, store: PartitionStore) -> None:
        self.partition = partition
        self.store = store
        self.overlay = Overlay(store)
        self.next_offset: int | None = None
        """Everything before it has been applied; None before the first chunk."""
        self.cut_at = store.boundary()
        """Deltas must not be collected across this offset: a commit before the last stop may have sent those up to it."""
        self._pending: list[Changes] = []
        self._sent: deque[tuple[int, int]] = deque()

    def collect(self, changes: Changes) -> None:
        """Keep what the events say about items until the next commit."""
        self._pending.append(changes)

    def reflected(self, source_offset: int) -> None:
        """The item statistics include what events up to this offset say."""
        while self._sent and self._sent[0][0] <= source_offset:
            self._sent.popleft()

    @property
    def unreflected(self) -> int:
        """First engagements applied here that the item statistics do not include yet."""
        return sum(len(c.first_item) for c in self._pending) + sum(n for _, n in self._sent)

    def take_deltas(self, pair_decay: float, names: ItemNames) -> list[tuple[bytes, bytes]]:
        """`(item_id, packed delta)` of everything collected since the last call."""
        pending, self._pending = self._pending, []
        if not pending or self.next_offset is None:
            return []
        engagements = sum(len(changes.first_item) for changes in pending)
        if engagements:
            self._sent.append((self.next_offset - 1, engagements))
        columns = batch_deltas(
            np.concatenate([c.first_item for c in pending]),
            np.concatenate([c.first_time_ms for c in pending]),
            np.concatenate([c.first_history for c in pending]),
            pair_decay,
            exposed=np.concatenate([c.exposed_item for c in pending]),
            clicked=np.concatenate([c.clicked_item for c in pending]),
        )
        packed = pack_deltas(columns, self.partition, self.next_offset - 1)
        named = ((names.id_of(h), value) for h, value in zip(columns.items.tolist(), packed, strict=True))
        return [(item_id.encode(), value) for item_id, value in named if item_id is not None]


class ItemPartition:
    """Statistics of the items of one partition of the item-deltas topic."""

    def __init__(self, store: PartitionStore) -> None:
        self.store = store
        self.next_offset: int | None = None
        self._records: dict[bytes, ItemRecord] = {}
        self._changed: set[bytes] = set()

    def apply(self, records: Sequence[Any], neighbours_max: int) -> None:
        """Apply one chunk of deltas; one whose source offset is behind the item's fence changes nothing."""
        grouped: dict[bytes, list[ItemDelta]] = {}
        for record in records:
            grouped.setdefault(record.key, []).append(unpack_delta(record.value))
        missing = [key for key in grouped if key not in self._records]
        for key, value in zip(missing, self.store.get_many(missing), strict=True):
            self._records[key] = ItemRecord() if value is None else unpack_record(value)
        after = apply_deltas([self._records[key] for key in grouped], list(grouped.values()), neighbours_max)
        self._records.update(zip(grouped, after, strict=True))
        self._changed.update(grouped)

    def snapshot(self) -> Snapshot:
        """Keys and packed records changed since the last snapshot."""
        keys, self._changed = list(self._changed), set()
        return Snapshot(keys, [pack_record(self._records[key]) for key in keys])

    def trim(self) -> None:
        """Forget what the store has, once there is much; only when the last snapshot has been written to it."""
        if len(self._records) > CACHED_ITEMS:
            self._records = {key: self._records[key] for key in self._changed}

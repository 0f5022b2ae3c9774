"""The items of one partition of the item-deltas topic, in memory between commits; a partition that is revoked is forgotten.

A record holds all that is known of an item, 7.4 KB with all its neighbours, and an item that is asked for changes with every
commit of every source partition. So where many change, records wait: what comes meanwhile goes into the same one. Deltas that
are not in a written record stay behind the committed offset, and are read again after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from models.items.record import unreadable
from models.items.rows import ItemRows
from stream.partitions.taken import Taken
from stream.storage.overlay import Snapshot
from stream.storage.rocks import PartitionStore

RECORDS_PER_S: Final = 250
"""Records a second that a partition writes without waiting, about 2 MB/s: each is sent to the broker, written to the changelog
and the store, and read by every worker."""

MAX_WAIT_S: Final = 5.0
"""Longest time that a change waits for its record."""


class Refused(NamedTuple):
    """A delta that cannot be applied."""

    record: Any
    why: str


class ItemPartition:
    """Statistics of the items of one partition of the item-deltas topic."""

    def __init__(self, store: PartitionStore, neighbours_max: int) -> None:
        self.store = store
        self.unreadable: dict[bytes, str] = {}
        """Items whose stored record cannot be read, and why: it is left as it is."""
        self.next_offset: int | None = None
        self._rows = ItemRows(neighbours_max)
        self._row_of: dict[bytes, int] = {}
        self._changed: set[bytes] = set()
        self.expired: dict[bytes, None] = {}
        """Items whose records the next commit deletes, unless a delta of theirs comes before it."""
        self.looked_for_expiry_s = float("-inf")
        """When its items were last looked through, by a monotonic clock."""
        self.taken_at_s = float("-inf")
        """When a commit last took what had changed, in its seconds."""

    def apply(self, records: Sequence[Any]) -> list[Refused]:
        """Apply deltas; one whose source offset is behind the item's fence changes nothing.

        Returns:
            Those that cannot be applied: bytes that are no delta, or of an item whose stored record cannot be read.
        """
        refused = [Refused(record, "no key or no value") for record in records if not record.key or not record.value]
        usable = [record for record in records if record.key and record.value] if refused else records
        self._load({record.key: None for record in usable})
        if self.unreadable:
            refused += [Refused(record, why) for record in usable if (why := self.unreadable.get(record.key))]
            usable = [record for record in usable if record.key not in self.unreadable]
        try:
            self._apply(usable)
        except ValueError:  # of which nothing was applied
            wrong = unreadable([record.value for record in usable], deltas=True)
            refused += [Refused(usable[at], why) for at, why in wrong.items()]
            self._apply([record for at, record in enumerate(usable) if at not in wrong])
        return refused

    def _apply(self, records: Sequence[Any]) -> None:
        rows = np.array([self._row_of[record.key] for record in records], np.int64)
        self._rows.apply(rows, [record.value for record in records])
        self._changed.update(record.key for record in records)

    def _load(self, keys: Iterable[bytes]) -> None:
        missing = [key for key in keys if key not in self._row_of and key not in self.unreadable]
        if not missing:
            return
        values = self.store.get_many(missing)
        try:
            rows = self._rows.add(values)
        except ValueError:
            stored = [at for at, value in enumerate(values) if value is not None]
            wrong = unreadable([value for value in values if value is not None], deltas=False)
            self.unreadable |= {missing[stored[at]]: why for at, why in wrong.items()}
            kept = [at for at, key in enumerate(missing) if key not in self.unreadable]
            missing, values = [missing[at] for at in kept], [values[at] for at in kept]
            rows = self._rows.add(values)
        self._row_of.update(zip(missing, rows.tolist(), strict=True))

    @property
    def n_changed(self) -> int:
        """Records that the next commit may take."""
        return len(self._changed)

    def is_due(self, now_s: float) -> bool:
        """Whether a commit that nothing hurries should take what has changed; `now_s` of one monotonic clock."""
        waited_s = now_s - self.taken_at_s
        return len(self._changed) <= RECORDS_PER_S * waited_s or waited_s >= MAX_WAIT_S

    def take(self, now_s: float = 0.0) -> Taken:
        """Everything since the last call that a commit writes.

        An item that expires loses its fences with its record. That is safe: a commit before this one has covered all of its
        deltas, which are behind the committed offset and are not read again.
        """
        self.taken_at_s = now_s
        gone: list[tuple[bytes, bytes | None]] = [(key, None) for key in self.expired if key not in self._changed]
        self.expired.clear()
        # A delta that comes before the store has the tombstone must not find the record there.
        empty = self._rows.add([None] * len(gone)).tolist()
        self._row_of.update(zip((key for key, _ in gone), empty, strict=True))
        keys, self._changed = list(self._changed), set()
        stored = Snapshot(keys, self._rows.pack(np.array([self._row_of[key] for key in keys], np.int64)))
        return Taken(stored, marks=gone)

    @property
    def nbytes(self) -> int:
        """Memory of the records held, in bytes."""
        return len(self._rows) * self._rows.row_bytes

    def trim(self, max_bytes: int) -> bool:
        """Forget what the store has, once it is more; only when what was last taken has been written to it. Whether it was."""
        if self.nbytes <= max_bytes:
            return False
        keys = list(self._changed)
        self._rows.keep(np.array([self._row_of[key] for key in keys], np.int64))
        self._row_of = {key: row for row, key in enumerate(keys)}
        return True


def due_first(partitions: Mapping[int, ItemPartition], now_s: float, since_s: float) -> list[int]:
    """Which of these a commit that nothing hurries should take, `since_s` after the last one.

    Those that have waited longest, as many as their records have room in that time, one at least. Where all items change, all
    partitions are due at once, and what comes to tens of megabytes every five seconds is better a few every second: readers,
    the broker and lists share the machine with it.
    """
    room = RECORDS_PER_S * len(partitions) * since_s
    taken: list[int] = []
    for p in sorted(
        (p for p, items in partitions.items() if items.is_due(now_s)), key=lambda p: partitions[p].taken_at_s
    ):
        room -= partitions[p].n_changed
        if taken and room < 0:
            break
        taken.append(p)
    return taken

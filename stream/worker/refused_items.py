"""Catalogue records that cannot be read, told once by one worker: a dead letter each, and a line in the log.

Every worker reads the whole catalogue, and reads it again at each start. So all of them keep what is refused, within bounds;
the one that owns partition 0 of the events topic tells, and what was told is marked in that partition's state
(`stream.state.told`). As with events a crash before the commit tells again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from stream.errors import CorruptStateError
from stream.kafka.replica import Replicated
from stream.partitions.users import UserPartition
from stream.state.told import NOTHING_TOLD, TOLD_PREFIX, Told, pack_told, partition_of, read_told, told_key
from stream.wire.decode import Rejected
from stream.worker.dead_letters import DeadLetters, Origin

logger = logging.getLogger(__name__)

TELLER: Final = 0
"""The partition of the events topic whose owner tells."""

KEPT_MAX_RECORDS: Final = 10_000
KEPT_MAX_BYTES: Final = 32 << 20
"""Refused records that wait to be told of, oldest out: a catalogue may be wholly unreadable."""


class RefusedItems:
    """All methods run on the event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], tuple[Replicated, Rejected]] = OrderedDict()
        self._n_bytes = 0
        self._n_dropped = 0
        self._told_of: UserPartition | None = None
        self._told: dict[int, Told] = {}
        self._changed: set[int] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def note(self, record: Replicated, why: Rejected) -> None:
        """A record that was refused; nothing happens where it is known to have been told of."""
        if self._is_told(record):
            return
        self._n_bytes += _size(record)
        self._kept[record.partition, record.offset] = record, why
        while len(self._kept) > KEPT_MAX_RECORDS or self._n_bytes > KEPT_MAX_BYTES:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._n_bytes -= _size(oldest)
            self._n_dropped += 1

    def tell(self, users: UserPartition, letters: DeadLetters, topic_items: str, topic_dead_letter: str) -> None:
        """Send what was not told of. `users`: the partition `TELLER`, which this worker owns and has recovered."""
        if self._told_of is not users:
            marks = users.store.items_with_prefix(TOLD_PREFIX)
            self._told = {partition_of(key): _read(value) for key, value in marks}
            self._told_of, self._changed = users, set()
        kept, self._kept, self._n_bytes = self._kept, OrderedDict(), 0
        waiting = [each for each in kept.values() if not self._is_told(each[0])]
        for record, why in waiting:
            origin = Origin(topic_items, record.partition, record.offset, record.timestamp_ms)
            letters.send(record.key, record.value, origin, why)
            before = self._told.get(record.partition, NOTHING_TOLD)
            timestamp_ms = max(before.timestamp_ms, record.timestamp_ms)
            # Not the larger offset: in a topic that was made anew the offsets begin again.
            self._told[record.partition] = Told(record.offset, timestamp_ms)
            self._changed.add(record.partition)
        if waiting:
            self._log(waiting, topic_items, topic_dead_letter)

    def take_marks(self, users: UserPartition) -> list[tuple[bytes, bytes]]:
        """Keys and values that the next commit of this partition writes; none but of the partition that tells."""
        if self._told_of is not users:
            return []
        changed, self._changed = self._changed, set()
        return [(told_key(partition), pack_told(self._told[partition])) for partition in sorted(changed)]

    def _is_told(self, record: Replicated) -> bool:
        return self._told.get(record.partition, NOTHING_TOLD).includes(record.offset, record.timestamp_ms)

    def _log(self, waiting: list[tuple[Replicated, Rejected]], topic_items: str, topic_dead_letter: str) -> None:
        record, why = waiting[-1]
        logger.warning(
            "catalogue records that cannot be read: %d, on %s%s; the last: item %r, %s partition %d offset %d: %s (%s). "
            "Fix: mend them where they come from",
            len(waiting),
            topic_dead_letter,
            f", and {self._n_dropped} more that were too many to keep" if self._n_dropped else "",
            (record.key or b"").decode(errors="replace")[:128],
            topic_items,
            record.partition,
            record.offset,
            why.detail,
            why.reason,
        )
        self._n_dropped = 0


def _read(mark: bytes) -> Told:
    """Of a mark of another release nothing is known to have been told."""
    try:
        return read_told(mark)
    except CorruptStateError as error:
        logger.warning("%s. Nothing to do: what was told is told again", error)
        return NOTHING_TOLD


def _size(record: Replicated) -> int:
    return len(record.key or b"") + len(record.value or b"")

"""The users of one partition of the events topic, in memory between commits; a partition that is revoked is forgotten."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.items.co_occurrence import batch_deltas
from models.items.names import ItemNames
from models.items.record import pack_deltas
from models.ranking.weights import Calibration
from stream.outcomes.clicks import PartitionClicks
from stream.outcomes.partition import PartitionOutcomes
from stream.partitions.event_times import EventTimes
from stream.partitions.influence import Influence
from stream.partitions.taken import Taken
from stream.state.log_mark import LOG_KEY, MEANT_KEY, LogMark, pack_log
from stream.state.record import States
from stream.state.update import Changes
from stream.storage.overlay import Overlay, Snapshot
from stream.storage.rocks import PartitionStore


class UserPartition:
    """Users of one partition of the events topic."""

    def __init__(self, partition: int, store: PartitionStore, engagements_max_per_user_day: int = 0) -> None:
        self.partition = partition
        self.influence = Influence(engagements_max_per_user_day)
        self.store = store
        self.overlay = Overlay(store, States)
        self.outcomes = PartitionOutcomes(partition, store)
        self.clicks = PartitionClicks(store)
        self.times = EventTimes()
        self.next_offset: int | None = None
        """Everything before it has been applied; None before the first chunk."""
        self.are_owed_read = False
        """Whether the users whom the partition's last owner left owed a list are known."""
        self.looked_for_expiry_s = float("-inf")
        """When its users were last looked through, by a monotonic clock."""
        self.expired: dict[bytes, None] = {}
        """Users whom the next commit deletes."""
        self.looked_through: int | None = None
        """How many withdrawals of items the stored lists of its users were looked through for; None: never."""
        self.log: LogMark | None = None
        """Of the log that is applied; None where nobody asked which it is."""
        self.is_new_log = False
        """Whether it took the place of another, and no commit has marked that yet."""
        self.unreflected = 0
        """First engagements applied here that the item statistics do not include yet. All partitions are asked with every batch
        of lists, so it is counted as they come and go."""
        self._pending: list[Changes] = []
        self._pending_bytes = 0
        self._sent: deque[tuple[int, int]] = deque()

    @property
    def base_offset(self) -> int:
        """What is added to the log's offsets wherever they are kept: they go on where a new log begins."""
        return 0 if self.log is None else self.log.base_offset

    def take_log_mark(self) -> list[tuple[bytes, bytes | None]]:
        """What a commit writes of which log this is."""
        if self.log is None:
            return []
        if self.next_offset is not None:
            self.log = self.log._replace(reached=max(self.log.reached, self.next_offset))
        is_new, self.is_new_log = self.is_new_log, False
        return [(LOG_KEY, pack_log(self.log)), *([(MEANT_KEY, None)] if is_new else [])]

    def collect(self, changes: Changes) -> None:
        """Keep what the events say about items until the next commit."""
        self._pending.append(changes)
        self.unreflected += len(changes.first_item)
        self._pending_bytes += sum(column.nbytes for column in changes if isinstance(column, np.ndarray))

    def expire(self, user: bytes) -> None:
        """The next commit deletes what is known of the user, unless something of theirs is in memory by then."""
        if user not in self.overlay and user not in self.outcomes.ledgers:
            self.expired[user] = None

    def take_expired(self) -> list[bytes]:
        """Users whom the commit that asks deletes."""
        expired, self.expired = self.expired, {}
        return [user for user in expired if user not in self.overlay and user not in self.outcomes.ledgers]

    @property
    def nbytes(self) -> int:
        """Memory of what waits for the next commit, and of the users held beside it, in bytes."""
        return self.overlay.nbytes + self._pending_bytes + self.outcomes.nbytes

    def reflected(self, source_offset: int) -> None:
        """The item statistics include what events up to this offset say."""
        while self._sent and self._sent[0][0] <= source_offset:
            self.unreflected -= self._sent.popleft()[1]

    def take(
        self,
        pair_decay: float,
        forward_decay: float,
        names: ItemNames,
        learned_until_ms: int | None,
        calibration: Calibration,
        counted: Callable[[NDArray[np.uint64]], NDArray[np.bool_]] | None = None,
    ) -> Taken:
        """Everything since the last call that a commit writes.

        Args:
            pair_decay, forward_decay: of item deltas, see `models.items.co_occurrence`.
            names: of items.
            learned_until_ms: clicks are learned from what had its chance by then; None: they are not learned from.
            calibration: what the click model starts from.
            counted: of which of these items, by hash, statistics are kept; None: of all.
        """
        outcomes = self.outcomes.take()
        deltas = self.take_deltas(pair_decay, forward_decay, names, counted)
        keys, values = self.overlay.snapshot()
        learned: list[tuple[bytes, bytes]] = []
        if keys and learned_until_ms is not None:  # only with users: see `Taken`
            learned = self.clicks.learn(learned_until_ms, calibration)
        stored = Snapshot(
            keys + outcomes.stored.keys + [key for key, _ in learned],
            values + outcomes.stored.values + [value for _, value in learned],
        )
        return Taken(stored, deltas, outcomes.attributions, outcomes.strategies)

    def take_deltas(
        self,
        pair_decay: float,
        forward_decay: float,
        names: ItemNames,
        counted: Callable[[NDArray[np.uint64]], NDArray[np.bool_]] | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """`(item_id, packed delta)` of everything collected since the last call; see `take`."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        engagements = sum(len(changes.first_item) for changes in pending)
        if not pending or self.next_offset is None:
            self.unreflected -= engagements
            return []
        if engagements:
            self._sent.append((self.base_offset + self.next_offset - 1, engagements))
        items, deltas = batch_deltas(
            np.concatenate([c.first_item for c in pending]),
            np.concatenate([c.first_time_ms for c in pending]),
            np.concatenate([c.first_context for c in pending]),
            np.concatenate([c.first_is_entry for c in pending]),
            np.concatenate([c.first_history for c in pending]),
            pair_decay,
            forward_decay,
            exposed=np.concatenate([c.exposed_item for c in pending]),
            clicked=np.concatenate([c.clicked_item for c in pending]),
            source_partition=self.partition,
            source_offset=self.base_offset + self.next_offset - 1,
        )
        kept = [True] * len(items) if counted is None else counted(items).tolist()
        named = (
            (names.id_of(h), value)
            for h, value, is_kept in zip(items.tolist(), pack_deltas(deltas), kept, strict=True)
            if is_kept
        )
        return [(item_id.encode(), value) for item_id, value in named if item_id is not None]

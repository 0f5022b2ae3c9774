"""The users of one partition of the events topic, in memory between commits; a partition that is revoked is forgotten."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.co_occurrence import Withdrawn, batch_deltas
from models.items.names import ItemNames
from models.items.record import pack_deltas
from models.ranking.weights import Calibration
from stream.errors import CorruptStateError
from stream.outcomes.clicks import PartitionClicks
from stream.outcomes.partition import PartitionOutcomes
from stream.partitions.contributions import PartitionContributions
from stream.partitions.event_times import EventTimes
from stream.partitions.influence import Influence
from stream.partitions.standing import PartitionStanding
from stream.partitions.taken import Taken
from stream.state.contributions import EARNED, Contributions, withdrawn
from stream.state.ledger import LEDGER_PREFIX
from stream.state.log_mark import LOG_KEY, MEANT_KEY, LogMark, pack_log
from stream.state.owed import OWED_PREFIX
from stream.state.record import NEVER, States
from stream.state.striking import forget_item, strike_item
from stream.state.update import Changes, UpdateParams
from stream.storage.overlay import Overlay, Snapshot
from stream.storage.rocks import PartitionStore


def _as_changes(of: Contributions, pair_window: int) -> Changes:
    """What these add to items, as if it had just happened."""
    again, none, nobody = withdrawn([of], pair_window), np.zeros(0, np.bool_), np.zeros(0, np.int64)
    return Changes(
        rows=nobody,
        n_applied=0,
        n_fenced=0,
        n_repeats=0,
        applied=none,
        first_item=again.item,
        first_time_ms=again.time_ms,
        first_event=np.zeros(len(again.item), np.int64),
        first_context=again.context,
        first_is_entry=again.is_entry,
        first_history=again.history,
        exposed_item=again.exposed,
        clicked_item=again.clicked,
    )


class TakenOut(NamedTuple):
    """Of one person."""

    added: list[Contributions]
    """As it was written down."""
    of_items: Withdrawn | None
    """What of it the next commit takes out of the items; None: nothing."""


class UserPartition:
    """Users of one partition of the events topic."""

    def __init__(
        self,
        partition: int,
        store: PartitionStore,
        engagements_max_per_user_day: int = 0,
        contributions: PartitionContributions | None = None,
        standing: PartitionStanding | None = None,
    ) -> None:
        """`contributions`: where what each person adds is written down; None: it is not. `standing`: default: of this store."""
        self.partition = partition
        self.contributions = contributions
        self.standing = PartitionStanding(store) if standing is None else standing
        self.receipts: list[tuple[bytes, bytes]] = []
        """Of requests that the next commit makes durable: key and record."""
        self._erased: dict[bytes, None] = {}
        self.has_erased = False
        """Whether the store's files may hold something of people who were erased, until they are compacted."""
        self._withdrawn: list[Withdrawn] = []
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

    def knows(self, user: bytes) -> bool:
        """Whether there is a state of this person, readable or not."""
        (row,) = self.overlay.rows([user]).tolist()
        return bool(row < 0 or self.overlay.states.columns.fence[row] != NEVER)

    def fence_of(self, user: bytes) -> int:
        """Offset of the newest event of theirs that was applied; `NEVER` of somebody unknown, or whose state cannot be read."""
        (row,) = self.overlay.rows([user]).tolist()
        return NEVER if row < 0 else int(self.overlay.states.columns.fence[row])

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

    # --- people who are erased ---

    def erase(self, user: bytes, pair_window: int) -> TakenOut:
        """Forget a person, as of now: what is in memory at once, what is stored with the next commit, which also takes out what
        they have added. Events of theirs that are applied after this are those of somebody new."""
        out = self._take_out(user, pair_window)
        added = out.added
        if self.contributions is not None:
            self.contributions.erase(user)
        self.overlay.clear(user)
        self.outcomes.erase(user, np.concatenate([each.earned for each in added]) if added else np.zeros(0, EARNED))
        self.clicks.forget(user)
        self._erased[user] = None
        return out

    def _take_out(self, user: bytes, pair_window: int) -> TakenOut:
        """The next commit takes out of the items what the person has added by now."""
        added = [] if self.contributions is None else self.contributions.of(user)
        if not added:
            return TakenOut(added, None)
        of_items = withdrawn(added, pair_window)
        self._withdrawn.append(of_items)
        return TakenOut(added, of_items)

    def rectify(self, user: bytes, item: int, params: UpdateParams) -> tuple[TakenOut, dict[str, int]]:
        """As if a person had had nothing to do with one item: out of their state, ledger, and what they have added to items.

        What is older than the ring stays in the habits of the day and the week, where items are not told apart. Totals of
        strategies stay: they are of lists, not of items.

        Raises:
            CorruptStateError: what is stored cannot be read; nothing has been changed then.
        """
        (row,) = self.overlay.rows([user])
        if row < 0:
            raise CorruptStateError("the state of this person")
        struck = strike_item(self.overlay.states, int(row), item, params)
        self.overlay.mark_dirty(np.array([row]))
        (row,) = self.outcomes.ledgers.rows([user])
        if row >= 0 and forget_item(self.outcomes.ledgers.states, int(row), item):
            self.outcomes.ledgers.mark_dirty(np.array([row]))
        engagements = 0
        out = self._take_out(user, params.pair_window)
        if out.added and self.contributions is not None:
            left = self.contributions.rectify(user, out.added, item)
            self.collect(_as_changes(left, params.pair_window))
            engagements = sum(len(each.engagements) for each in out.added) - len(left.engagements)
        return out, {"behaviours": struck, "engagements": engagements}

    def take_erased(self) -> list[tuple[bytes, bytes | None]]:
        """Marks of the commit that asks: what it deletes. To be called before the snapshots, which have what came later."""
        erased, self._erased = self._erased, {}
        self.has_erased = self.has_erased or bool(erased)
        gone: list[tuple[bytes, bytes | None]] = [(user, None) for user in erased if not self.overlay.is_dirty(user)]
        ledgers = self.outcomes.ledgers
        gone += [(LEDGER_PREFIX + user, None) for user in erased if not ledgers.is_dirty(user)]
        gone += [
            (OWED_PREFIX + user, None) for user in erased
        ]  # if they are owed one since, that mark stands behind it
        return gone

    @property
    def nbytes(self) -> int:
        """Memory of what waits for the next commit, and of the users held beside it, in bytes."""
        more = 0 if self.contributions is None else self.contributions.nbytes
        return self.overlay.nbytes + self._pending_bytes + self.outcomes.nbytes + more

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
        gone = self.take_erased()
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
        if self.contributions is not None:
            gone += self.contributions.take()
        receipts, self.receipts = self.receipts, []
        return Taken(
            stored,
            deltas,
            [*outcomes.attributions, *receipts],
            outcomes.strategies,
            [*gone, *self.standing.take_marks()],
        )

    def take_deltas(
        self,
        pair_decay: float,
        forward_decay: float,
        names: ItemNames,
        counted: Callable[[NDArray[np.uint64]], NDArray[np.bool_]] | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """`(item_id, packed delta)` of everything collected since the last call; see `take`."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        taken_out, self._withdrawn = self._withdrawn, []
        engagements = sum(len(changes.first_item) for changes in pending)
        if not (pending or taken_out) or self.next_offset is None:
            self.unreflected -= engagements
            return []
        if engagements:
            self._sent.append((self.base_offset + self.next_offset - 1, engagements))
        items, deltas = batch_deltas(
            np.concatenate([c.first_item for c in pending]) if pending else np.zeros(0, np.uint64),
            np.concatenate([c.first_time_ms for c in pending]) if pending else np.zeros(0, np.int64),
            np.concatenate([c.first_context for c in pending]) if pending else np.zeros(0, np.uint8),
            np.concatenate([c.first_is_entry for c in pending]) if pending else np.zeros(0, np.bool_),
            np.concatenate([c.first_history for c in pending]) if pending else np.zeros((0, 1), np.uint64),
            pair_decay,
            forward_decay,
            exposed=np.concatenate([c.exposed_item for c in pending]) if pending else np.zeros(0, np.uint64),
            clicked=np.concatenate([c.clicked_item for c in pending]) if pending else np.zeros(0, np.uint64),
            withdrawn=taken_out,
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

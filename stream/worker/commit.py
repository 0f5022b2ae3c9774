"""The commit: what was changed in memory becomes durable, in an order that makes a crash anywhere harmless.

1. Snapshot, of each partition without an await between: packed states, item deltas, marks of users who are owed a list, and the
   offset that they cover. Between two partitions all else has its turn.
2. Outputs. Everything sent so far (lists, reasons, dead letters) is acknowledged by the broker.
3. One transaction per partition: a changelog record per changed key, and the item deltas and outcomes of the same events.
4. RocksDB, per partition in slices, with the last of them the offset up to which it includes the changelog.
5. Source offsets, never beyond the oldest event whose user still waits for a list. Users who are owed one hold nothing back:
   the mark of each is in the transaction of step 3, and is deleted there by a commit after the list was acknowledged in step
   2.

Deltas, outcomes and state become visible together or not at all, so item statistics count once as well, and an outcome is
credited once: an event that the state has is fenced and adds nothing, an event that it has not was in no delta.

After a crash the events between the committed offset and what the changelog holds are read again. The fence in each user's
state skips them, and their users are queued for refresh again, so the state counts them once and the answers still go out.
Any error here crashes the worker before step 5.

A commit of the usual round leaves out partitions of items whose records wait (`stream.partitions.items`): nothing of them is
written, and their offsets stay. It lets lists go first; one that somebody waits for (a rebalance, the end) does not.

Two owners of one partition (a worker that was stopped so long that its partitions were given away, and woke up): the broker
refuses the transaction of the earlier one in step 3; see `writers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from stream.errors import InvariantError
from stream.kafka.engine.transport import ChunkConsumer
from stream.kafka.producer import RecordProducer
from stream.kafka.transactions import Keyed
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.partitions.items import due_first
from stream.partitions.taken import Taken
from stream.settings import Settings
from stream.storage.rocks import PartitionStore
from stream.tracing.traces import Traces
from stream.worker.tracker import Tracker

TURNS_BETWEEN: Final = 3
"""Of the event loop between two partitions of a snapshot: an event that came meanwhile gets on."""

WRITERS: Final = 2
"""Transactions at once where nobody waits for the commit: those of eight partitions, with all that the broker and the client's
threads do for them, kept the event loop from a core for 100 ms."""

REST: Final = 2.0
"""Times that it took to write a slice to RocksDB, in which nobody else ran: so long others run before the next."""


class Write(Protocol):
    """Blocking: one transaction; the offset at which the changelog now ends. See `writers.PartitionWriters.write`."""

    def __call__(
        self, topic: str, partition: int, values: Iterable[tuple[bytes, bytes | None]], others: Iterable[Keyed]
    ) -> int: ...


class _Change(NamedTuple):
    """What one partition commits."""

    source: TopicPartition
    changelog: TopicPartition
    store: PartitionStore
    commit_to: int | None
    taken: Taken


class Committer:
    """Makes a tracker's changes durable, one commit at a time."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        tracker: Tracker,
        producer: RecordProducer,
        consumer: Callable[[], ChunkConsumer],
        write: Write,
        traces: Traces | None = None,
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._tracker, self._producer = tracker, producer
        self._consumer, self._write, self._traces = consumer, write, traces
        self._one_at_a_time = asyncio.Lock()
        self._abandoned = False
        self._failed: BaseException | None = None
        self.last_completed_s = time.monotonic()

    @property
    def failure(self) -> BaseException | None:
        """Why a commit failed; what it held is read again at the next start."""
        return self._failed

    async def commit(self, *, whole: bool = True) -> None:
        """Everything applied before this call is durable when it returns, unless `abandon` was called.

        Args:
            whole: False leaves out item records that may wait for more.

        Raises:
            InvariantError: some of it is not, or not certainly; the worker must stop.
        """
        async with self._one_at_a_time:
            if self._abandoned:
                return
            if self._failed is not None:
                raise InvariantError(f"an earlier commit failed: {self._failed!r}") from self._failed
            try:
                await self._commit(whole)
            except BaseException as error:  # a cancellation, too
                # Its snapshot is gone. The next one would not hold these changes, find nothing to write that the broker
                # could refuse, and commit the offsets behind them.
                self._failed = error
                raise

    async def settled(self) -> None:
        """Returns once no commit is being made."""
        async with self._one_at_a_time:
            return

    def abandon(self) -> None:
        """No commit begins any more: a chunk was left half applied, and the worker is about to stop because of it.

        Users it had reached already carry its offsets; were they made durable, the rest of it would never be applied.
        """
        self._abandoned = True

    async def _commit(self, whole: bool) -> None:
        started, started_ns = time.monotonic(), time.time_ns()
        changes = await self._snapshot(whole, started)
        if self._abandoned:  # meanwhile: what was taken last may hold half a chunk
            return
        written = [c for c in changes if c.taken.changes_store]
        await self._producer.flush()
        await self._write_changelogs(written, whole)
        await self._commit_offsets(changes)
        if self._traces is not None:
            events = [c for c in changes if c.source.topic == self._settings.topic_events]
            self._traces.committed({c.source.partition: c.commit_to or 0 for c in events}, started_ns)
        await self._trim(whole)
        self.last_completed_s = time.monotonic()
        self._metrics.work.commits.inc()
        self._metrics.work.commit_seconds.observe(self.last_completed_s - started)

    async def _snapshot(self, whole: bool, now_s: float) -> list[_Change]:
        tracker, changes = self._tracker, []
        for p in list(tracker.users):
            changes.append(self._change_of_users(p))
            await self._let_others_run(whole)
        due = list(tracker.items) if whole else due_first(tracker.items, now_s, now_s - self.last_completed_s)
        for p in due:
            changes.append(self._change_of_items(p, now_s))
            await self._let_others_run(whole)
        return changes

    async def _let_others_run(self, whole: bool) -> None:
        # Packing one partition takes some ten milliseconds under load; all of them together would be felt in every list.
        for _ in range(0 if whole else TURNS_BETWEEN):
            await asyncio.sleep(0)

    def _change_of_users(self, p: int) -> _Change:
        settings, tracker = self._settings, self._tracker
        users, waiting = tracker.users[p], tracker.queue.oldest_offset(p)
        commit_to = users.next_offset
        if commit_to is not None and waiting is not None:
            commit_to = min(commit_to, waiting - users.base_offset)
        source, changelog = TopicPartition(settings.topic_events, p), TopicPartition(settings.changelog_topic, p)
        return _Change(source, changelog, users.store, commit_to, tracker.take(users))

    def _change_of_items(self, p: int, now_s: float) -> _Change:
        settings, items = self._settings, self._tracker.items[p]
        source, changelog = TopicPartition(settings.topic_item_deltas, p), TopicPartition(settings.topic_item_stats, p)
        taken = items.take(now_s)
        self._metrics.work.expired_items.inc(len(taken.marks))
        return _Change(source, changelog, items.store, items.next_offset, taken)

    async def _write_changelogs(self, changes: Sequence[_Change], hurried: bool) -> None:
        # Each waits several times for the broker, so where somebody waits for the commit all go at once. A failure shows only
        # when none is writing any more.
        at_once = asyncio.Semaphore(len(changes) or 1 if hurried else WRITERS)
        written = await asyncio.gather(*(self._write_in_turn(c, at_once) for c in changes), return_exceptions=True)
        for outcome in written:
            if isinstance(outcome, BaseException):
                raise outcome
        offsets = [outcome for outcome in written if isinstance(outcome, int)]
        await asyncio.to_thread(_write_stores, changes, offsets, 0.0 if hurried else REST)

    async def _write_in_turn(self, change: _Change, at_once: asyncio.Semaphore) -> int:
        async with at_once:
            return await asyncio.to_thread(self._write_one, change)

    def _write_one(self, change: _Change) -> int:
        return self._write(
            change.changelog.topic, change.changelog.partition, change.taken.values, self._others(change.taken)
        )

    def _others(self, taken: Taken) -> list[Keyed]:
        """What goes to other topics than the changelog in the same transaction."""
        settings = self._settings
        gone = [(user, None) for user in taken.expired]
        records: list[tuple[str, Sequence[tuple[bytes, bytes | None]]]] = [
            (settings.topic_item_deltas, taken.deltas),
            (settings.topic_attributions, taken.attributions),
            (settings.topic_strategy_stats, taken.strategies),
            *((topic, gone) for topic in (settings.topic_recommendations, *settings.placement_topics().values())),
        ]
        return [Keyed(topic, *each) for topic, of_topic in records for each in of_topic]

    async def _commit_offsets(self, changes: Sequence[_Change]) -> None:
        durable = {c.source: c.commit_to for c in changes if c.commit_to is not None}
        if durable:
            consumer = self._consumer()
            consumer.set_durable(durable)
            await consumer.commit()

    async def _trim(self, whole: bool) -> None:
        """What the stores have now, and is more than its share. What changes between two partitions stays, as always."""
        users, items = self._tracker.users, self._tracker.items
        share_bytes = self._settings.overlay_max_bytes // (4 * max(1, len(users)))
        for partition in list(users.values()):
            if partition.overlay.trim(share_bytes) | partition.outcomes.ledgers.trim(share_bytes):
                await self._let_others_run(whole)
        share_bytes = self._settings.item_records_max_bytes // max(1, len(items))
        for each in list(items.values()):
            if each.trim(share_bytes):
                await self._let_others_run(whole)


def _write_stores(changes: Sequence[_Change], changelog_offsets: Sequence[int], rest: float) -> None:
    for change, offset in zip(changes, changelog_offsets, strict=True):
        change.store.write(change.taken.values, offset, rest)

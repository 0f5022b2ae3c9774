"""The commit: what was changed in memory becomes durable, in an order that makes a crash anywhere harmless.

1. Snapshot, without an await between: packed states, item deltas, and the offsets that they cover.
2. Outputs. Everything sent so far (lists, reasons, dead letters) is acknowledged by the broker, and with it, in the
   changelog, the boundary: the offset up to which the item deltas of this commit go. Then the item deltas.
3. Changelog. One record per changed key, acknowledged.
4. RocksDB. One batch per partition, with the offset of its last changelog record.
5. Source offsets, never beyond the oldest event whose user still waits for a list.

The boundary makes item statistics count once as well. An item skips deltas of a partition up to the offset it has them from.
After a crash between 2 and 3 the same events are read again; were they cut into other commits, a delta could hold events of
which the item has some. So the next owner of the partition commits exactly at the boundary: what it sends up to there is what
was sent before. If any user's changelog record of the broken commit was written, all its deltas were acknowledged before.

After a crash the events between the committed offset and what the changelog holds are read again. The fence in each user's
state skips them, and their users are queued for refresh again, so the state counts them once and the answers still go out.
Any error here crashes the worker before step 5.

Two owners of one partition (a worker that was stopped so long that its partitions were given away, and woke up) are noticed
in step 3: between two commits the changelog partition must have grown by exactly what this worker wrote. Only Kafka
transactions would keep the sleeper's records out altogether; see the README's limits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from faust.types import TP

from stream.errors import InvariantError
from stream.metrics import Metrics
from stream.overlay import Snapshot
from stream.producer import RecordProducer
from stream.rocks import BOUNDARY_KEY, PartitionStore
from stream.settings import Settings
from stream.tracker import Tracker
from stream.transport import ChunkConsumer


class LogEnd(Protocol):
    """Blocking: the next offset to be written to a topic's partition."""

    def __call__(self, topic: str, partition: int) -> int: ...


class _Change(NamedTuple):
    """What one partition commits; `boundary` where item deltas go with it."""

    source: TP
    changelog: TP
    store: PartitionStore
    snapshot: Snapshot
    commit_to: int | None
    boundary: int | None = None


class Committer:
    """Makes a tracker's changes durable, one commit at a time."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        tracker: Tracker,
        producer: RecordProducer,
        consumer: Callable[[], ChunkConsumer],
        log_end: LogEnd,
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._tracker, self._producer = tracker, producer
        self._consumer, self._log_end = consumer, log_end
        self._one_at_a_time = asyncio.Lock()
        self._log_ends: dict[TP, int] = {}
        self._abandoned = False
        self.last_completed_s = time.monotonic()

    async def commit(self) -> None:
        """Everything applied before this call is durable when it returns, unless `abandon` was called.

        Raises:
            InvariantError: some of it is not, or not certainly; the worker must stop.
        """
        async with self._one_at_a_time:
            if self._abandoned:
                return
            started = time.monotonic()
            changes, deltas = self._snapshot()
            written = [c for c in changes if c.snapshot.keys or c.boundary is not None]
            await self._send_outputs(written, deltas)
            await self._write_changelog(written)
            await self._commit_offsets(changes)
            self._trim()
            self.last_completed_s = time.monotonic()
            self._metrics.commits.inc()
            self._metrics.commit_seconds.observe(self.last_completed_s - started)

    def abandon(self) -> None:
        """No commit begins any more: a chunk was left half applied, and the worker is about to stop because of it.

        Users it had reached already carry its offsets; were they made durable, the rest of it would never be applied.
        """
        self._abandoned = True

    def forget(self, changelogs: Sequence[TP]) -> None:
        """These partitions were revoked: others may write to their changelogs from now on."""
        for tp in changelogs:
            self._log_ends.pop(tp, None)

    def _snapshot(self) -> tuple[list[_Change], list[tuple[bytes, bytes]]]:
        settings, tracker = self._settings, self._tracker
        changes: list[_Change] = []
        deltas: list[tuple[bytes, bytes]] = []
        for p, users in tracker.users.items():
            own_deltas = users.take_deltas(settings.pair_decay, tracker.names)
            deltas.extend(own_deltas)
            waiting = tracker.queue.oldest_offset(p)
            commit_to = users.next_offset
            if commit_to is not None and waiting is not None:
                commit_to = min(commit_to, waiting)
            source, changelog = TP(settings.topic_events, p), TP(settings.changelog_topic, p)
            boundary = users.next_offset if own_deltas else None
            changes.append(_Change(source, changelog, users.store, users.overlay.snapshot(), commit_to, boundary))
        for p, items in tracker.items.items():
            source, changelog = TP(settings.topic_item_deltas, p), TP(settings.topic_item_stats, p)
            changes.append(_Change(source, changelog, items.store, items.snapshot(), items.next_offset))
        return changes, deltas

    async def _send_outputs(self, changes: Sequence[_Change], deltas: Sequence[tuple[bytes, bytes]]) -> None:
        unknown = [c.changelog for c in changes if c.changelog not in self._log_ends]
        self._log_ends |= await asyncio.to_thread(self._ends, unknown)
        for change in changes:
            if change.boundary is not None:
                topic, partition = change.changelog
                self._producer.send(topic, BOUNDARY_KEY, str(change.boundary).encode(), partition)
        await self._producer.flush()
        if deltas:
            keys, values = zip(*deltas, strict=True)
            self._producer.send_many(self._settings.topic_item_deltas, keys, values)
            await self._producer.flush()

    async def _write_changelog(self, changes: Sequence[_Change]) -> None:
        if not changes:
            return
        for change in changes:
            topic, partition = change.changelog
            self._producer.send_many(topic, *change.snapshot, partition)
            await asyncio.sleep(0)  # lists and chunks need not wait for all partitions
        await self._producer.flush()
        ends = await asyncio.to_thread(self._ends, [c.changelog for c in changes])
        for change in changes:
            end = self._log_ends[change.changelog] + len(change.snapshot.keys) + (change.boundary is not None)
            if ends[change.changelog] != end:
                raise InvariantError(
                    f"{change.changelog.topic} partition {change.changelog.partition} ends at {ends[change.changelog]}, "
                    f"not {end}: another worker writes to it, so this one has lost the partition"
                )
        await asyncio.to_thread(_write_stores, changes, ends)
        self._log_ends |= ends

    async def _commit_offsets(self, changes: Sequence[_Change]) -> None:
        durable = {c.source: c.commit_to for c in changes if c.commit_to is not None}
        if durable:
            consumer = self._consumer()
            consumer.set_durable(durable)
            await consumer.commit()

    def _ends(self, changelogs: Sequence[TP]) -> dict[TP, int]:
        return {tp: self._log_end(tp.topic, tp.partition) for tp in changelogs}

    def _trim(self) -> None:
        users = self._tracker.users
        for partition in users.values():
            partition.overlay.trim(self._settings.overlay_max_bytes // (2 * max(1, len(users))))
        for items in self._tracker.items.values():
            items.trim()


def _write_stores(changes: Sequence[_Change], ends: dict[TP, int]) -> None:
    for change in changes:
        values: Iterator[tuple[bytes, bytes]] = zip(*change.snapshot, strict=True)
        if change.boundary is not None:
            values = chain(values, [(BOUNDARY_KEY, str(change.boundary).encode())])
        change.store.write(values, ends[change.changelog] - 1)

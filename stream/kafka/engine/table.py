"""The RocksDB store as Faust sees it: Faust assigns, recovers and keeps standbys; writing is the commit's alone.

Faust replays the changelog into the store after a rebalance and on standbys (`apply_changelog_batch`, in whole chunks),
and asks for the offset from which to go on (`persisted_offset`). A worker's own changes reach the store only through
`commit.Committer`, in one batch with that offset.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from faust.stores import STORES
from faust.stores.base import SerializedStore
from faust.streams import current_event
from faust.types import TP

from stream.errors import InvariantError, PenchantError
from stream.kafka.engine.fetching import Chunk
from stream.kafka.log_ends import AskBounds
from stream.storage.rocks import PartitionStores

logger = logging.getLogger(__name__)

STORE_SCHEME = "penchant"
STORES.aliases[STORE_SCHEME] = f"{__name__}:ChangelogStore"


@dataclass(frozen=True)
class StoreOptions:
    """What a `ChangelogStore` is given through the table's `options`."""

    stores: PartitionStores
    ask_bounds: AskBounds
    """Blocking: where partitions begin and end."""
    fatal: Callable[[BaseException], Awaitable[None]]
    """Crashes the worker."""
    source_topic: str
    """Who owns a partition of this topic owns that of the table."""
    claim: Callable[[str, Collection[int]], None]
    """Blocking: shuts out who wrote to these partitions of the changelog before; see `stream.kafka.transactions`."""
    release: Callable[[str, int], None]
    restored: Callable[[int], object]
    """Hears how many changelog records were written to the store."""
    ahead: Callable[[str], BaseException | None] = lambda _: None
    """Why a worker must stop whose store includes more than this changelog holds: the store may be the last copy. None: it is
    rebuilt from the changelog."""


class ChangelogStore(SerializedStore):  # type: ignore[misc]
    """One RocksDB per partition behind Faust's table interface."""

    def __init__(self, *args: Any, options: dict[str, StoreOptions], **kwargs: Any) -> None:
        self._given = options["penchant"]
        self._stores = self._given.stores
        self.recovered_chunks = 0
        """Chunks of changelog read, for the watchdog."""
        self._claiming: asyncio.Future[Any] | None = None
        super().__init__(*args, options=None, **kwargs)

    # --- recovery ---

    def persisted_offset(self, tp: TP) -> int | None:
        return self._stores[tp.partition].changelog_offset()

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Faust would call this apart from the values; the offset is written with them or not at all."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        return True

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        """Chunks of changelog records -> one RocksDB batch each."""
        del to_key, to_value
        try:
            for event in batch:
                self._apply_chunk(event.message.partition, event.message.value)
        except Exception as error:
            # Faust logs what is raised here and goes on with a hole in the state; a hole must stop the worker.
            self._crashing = asyncio.ensure_future(self._given.fatal(error))
            raise

    def _apply_chunk(self, partition: int, chunk: Chunk) -> None:
        self.recovered_chunks += 1
        store = self._stores[partition]
        included = store.changelog_offset()
        if included is not None:
            if chunk.next_offset <= included + 1:
                return  # read twice: written again it would undo what came after it
            if chunk.start_offset > included + 1:
                raise InvariantError(
                    f"changelog of {self.table_name} partition {partition}: offsets {included + 1} to "
                    f"{chunk.start_offset - 1} did not arrive"
                )
        last = -1 if included is None else included
        values = [(record.key, record.value) for record in chunk.records if record.offset > last]
        store.write(values, chunk.next_offset - 1)
        self._given.restored(len(values))

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Close what went, claim what is owned; wipe what is ahead of its changelog where that is one in memory.

        Called before the changelog is read, so nobody else can write what this worker would not read. Claims are renewed at
        every rebalance: between two of them the partition may have been another's.
        """
        del generation_id
        topics = self.table.changelog_topic.topics
        source, (changelog,) = self._given.source_topic, topics
        for tp in revoked:
            if tp.topic == source:
                self._given.release(changelog, tp.partition)
        if self._claiming is None:
            self.begin_claims(assigned)
        await self.claimed()
        for tp in revoked:
            if tp.topic in topics:
                self._stores.close(tp.partition)
        new = sorted((tp.topic, tp.partition) for tp in newly_assigned if tp.topic in topics)
        bounds = await asyncio.to_thread(self._given.ask_bounds, new)
        for topic, partition in new:
            # To open a database is tens of milliseconds on a busy disk, and this is one of hundreds.
            await asyncio.sleep(0)
            _, end = bounds[topic, partition]
            offset = self._stores[partition].changelog_offset()
            if offset is None and next(self._stores[partition].items(), None) is not None:
                # A crash in the middle of the first write. Of which log it is nobody can say; there is little to read again.
                self._stores.wipe(partition)
            elif offset is not None and offset >= end:
                if (why := self._given.ahead(topic)) is not None:
                    await self._given.fatal(why)
                    raise why
                logger.warning(
                    "local state of %s partition %d includes offset %d but the changelog ends at %d: rebuilding it. "
                    "Nothing to do, unless the changelog was deleted or its brokers lost records",
                    topic,
                    partition,
                    offset,
                    end,
                )
                self._stores.wipe(partition)

    def begin_claims(self, assigned: set[TP]) -> None:
        """Claim what is owned. All tables begin at once, before Faust comes to them one after another: a claim waits half a
        second for a transaction that its last owner has only just committed."""
        (changelog,) = self.table.changelog_topic.topics
        owned = [tp.partition for tp in assigned if tp.topic == self._given.source_topic]
        self._claiming = asyncio.ensure_future(asyncio.to_thread(self._given.claim, changelog, owned))

    async def claimed(self) -> None:
        """Returns once what `begin_claims` began is claimed."""
        claiming, self._claiming = self._claiming, None
        if claiming is None:
            return
        try:
            await claiming
        except PenchantError as error:
            # Told before aiokafka and Faust do, which hear of it next: in a line, and not in several tracebacks.
            await self._given.fatal(error)
            raise

    async def stop(self) -> None:
        self._stores.close_all()

    def reset_state(self) -> None:
        for partition in list(self._stores):
            self._stores.wipe(partition)

    # --- Faust's table interface: reading inside an agent; writing goes through the commit ---

    def _get(self, key: bytes) -> bytes | None:
        event = current_event()
        partitions = list(self._stores) if event is None else [event.message.partition]
        return next((v for p in partitions for v in self._stores[p].get_many([key]) if v is not None), None)

    def _set(self, key: bytes, value: bytes | None) -> None:
        raise InvariantError(f"state of {self.table_name} is changed through its overlay, never through the table")

    def _del(self, key: bytes) -> None:
        self._set(key, None)

    def _iteritems(self) -> Iterator[tuple[bytes, bytes]]:
        return (item for partition in self._stores for item in self._stores[partition].items())

    def _iterkeys(self) -> Iterator[bytes]:
        return (key for key, _ in self._iteritems())

    def _itervalues(self) -> Iterator[bytes]:
        return (value for _, value in self._iteritems())

    def _size(self) -> int:
        return sum(1 for _ in self._iteritems())

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _clear(self) -> None:
        self.reset_state()

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:
        """The changelog is the backup."""
        raise InvariantError("state is backed up by its changelog topic")

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:
        """The changelog is the backup."""
        raise InvariantError("state is restored from its changelog topic")

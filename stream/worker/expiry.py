"""What nobody has had to do with for long is forgotten, in the changelog as well.

Users who have done nothing for `user_ttl_days`: state, ledger and published list. Items that the catalogue does not have (any
more) and that nobody has engaged with for `unknown_item_ttl_days`: their statistics.

All keys of a partition are looked at in slices, again and again. What is found is deleted by the next commit, as tombstones in
the transaction of everything else, so a replay of the changelog forgets it too. A user who is in memory is not touched:
something of theirs has just happened, or is being made. Nor is an item with a delta that no commit has written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import compress
from typing import Final

from models.calendar import DAY_MS
from models.items.record import newest_ms
from stream.kafka.engine.errors import BrokerError
from stream.kafka.types import TopicPartition
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.state.record import last_event_ms
from stream.storage.rocks import PartitionStore
from stream.wire.records import MAX_ID_BYTES
from stream.worker.parts import WorkerParts

KEYS_AT_ONCE: Final = 500
REST_S: Final = 0.05
"""Between two slices: ten thousand keys a second, at some hundredths of a core."""

IDLE_S: Final = 1.0
BETWEEN_PASSES_S: Final = 600.0
"""Of one partition."""

EXPIRED_AT_ONCE: Final = 2_000
"""That wait for a commit; while there are so many no more are looked for."""

_NO_ID: Final = b"\xf5"
"""No UTF-8 begins with this or what is behind it; the keys of ledgers, totals and marks do."""


class UserExpiry:
    """Of users. Runs on the event loop."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts, self._ttl_ms = parts, parts.settings.user_ttl_days * DAY_MS

    async def look_forever(self) -> None:
        """Until cancelled."""
        while True:
            for users in list(self._parts.tracker.users.values()):
                if time.monotonic() - users.looked_for_expiry_s >= BETWEEN_PASSES_S:
                    await self._look_through(users)
                    users.looked_for_expiry_s = time.monotonic()
            await asyncio.sleep(IDLE_S)

    async def _look_through(self, users: UserPartition) -> None:
        tracker = self._parts.tracker
        async for found in _slices(users.store, lambda: tracker.users.get(users.partition) is users, users.expired):
            before_ms = _now_ms(self._parts) - self._ttl_ms
            for key, value in found:
                last_ms = last_event_ms(value) if len(key) <= MAX_ID_BYTES else None
                if last_ms is not None and last_ms < before_ms and users.standing.of(key) is None:
                    users.expire(key)


class ItemExpiry:
    """Of statistics of items. Runs on the event loop."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts, self._ttl_ms = parts, parts.settings.unknown_item_ttl_days * DAY_MS

    async def look_forever(self) -> None:
        """Until cancelled."""
        while True:
            # Before the catalogue has been read nothing in it is known.
            for partition, items in list(self._parts.tracker.items.items() if self._parts.replicas_caught_up() else ()):
                if time.monotonic() - items.looked_for_expiry_s >= BETWEEN_PASSES_S:
                    await self._look_through(partition, items)
                    items.looked_for_expiry_s = time.monotonic()
            await asyncio.sleep(IDLE_S)

    async def _look_through(self, partition: int, items: ItemPartition) -> None:
        tracker = self._parts.tracker
        async for found in _slices(items.store, lambda: tracker.items.get(partition) is items, items.expired):
            before_ms = _now_ms(self._parts) - self._ttl_ms
            unknown = tracker.knowledge.are_unknown([key for key, _ in found]).tolist()
            for key, value in compress(found, unknown):
                last_ms = newest_ms(value)
                if last_ms is not None and last_ms < before_ms:
                    items.expired[key] = None


class ErasureExpiry:
    """What is left of people who were erased: their bytes in the store's files, until those are rewritten; and the marks
    that keep their old events out, until none of those can be read again. Runs on the event loop."""

    def __init__(self, parts: WorkerParts, every_s: float = BETWEEN_PASSES_S) -> None:
        self._parts, self._every_s = parts, every_s

    async def look_forever(self) -> None:
        """Until cancelled."""
        while True:
            for users in list(self._parts.tracker.users.values()):
                await self._clean(users)
                if users.standing.n_erased:
                    tp = TopicPartition(self._parts.settings.topic_events, users.partition)
                    try:
                        first = await self._parts.membership.consumer.first_offset(tp)
                    except BrokerError:  # asked again after the pause; meanwhile the marks stay
                        continue
                    users.standing.forget_before(users.base_offset + first)
            await asyncio.sleep(self._every_s)

    async def _clean(self, users: UserPartition) -> None:
        """In slices by the first byte of a key, so that nobody who closes the store waits for long."""
        if not users.has_erased:
            return
        users.has_erased = False
        for byte in range(255):
            if self._parts.tracker.users.get(users.partition) is not users:
                return
            await asyncio.to_thread(users.store.compact, bytes([byte]), bytes([byte + 1]))
        await asyncio.to_thread(users.store.compact, b"\xff", b"\xff" * (MAX_ID_BYTES + 2))


async def _slices(
    store: PartitionStore, is_ours: Callable[[], bool], expired: dict[bytes, None]
) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """All ids of a partition and what is stored of them, with rests between, until it is taken away. Waits while too much of
    what was found, `expired`, waits for a commit."""
    last = None
    while is_ours():
        if len(expired) >= EXPIRED_AT_ONCE:
            await asyncio.sleep(REST_S)
            continue
        found = store.items_with_prefix(b"", last, KEYS_AT_ONCE)
        yield [(key, value) for key, value in found if key < _NO_ID]
        if len(found) < KEYS_AT_ONCE or found[-1][0] >= _NO_ID:
            return
        last = found[-1][0]
        await asyncio.sleep(REST_S)


def _now_ms(parts: WorkerParts) -> int:
    # Event time: while a long past is replayed nothing in it is old.
    return parts.tracker.knowledge.stream_time_ms(time.time_ns() // 1_000_000)

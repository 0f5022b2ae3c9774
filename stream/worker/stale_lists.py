"""Lists of people who have done nothing lately, and hold an item that was withdrawn, or that a rule forbids: found in the
ledgers, and made again.

A worker remembers the last 100,000 lists that it made, so an item that is withdrawn leaves those at once. All others, also
those that were made before the worker started or the partition came to it, are looked through in slices: once when a
partition is opened, and again after items were withdrawn or rules changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

import numpy as np

from models.items.index import NO_INDEX
from stream.partitions.users import UserPartition
from stream.refresh.stored_lists import ByHalfHash, newest_lists
from stream.state.ledger import LEDGER_PREFIX, LISTS, PLACES
from stream.worker.parts import WorkerParts

USERS_AT_ONCE: Final = 200
REST_S: Final = 0.04
"""Between two slices: some 5,000 users a second, at a few hundredths of a core."""

REST_TIMES: Final = 9
"""The same after the catalogue was sorted, by the time that took: some 100 ns an item, and again after each change of it."""

IDLE_S: Final = 1.0
QUEUE_FULL_USERS: Final = 10_000
"""While so many wait for a list no more are looked for."""


class StaleLists:
    """Runs on the event loop."""

    def __init__(self, parts: WorkerParts, on_found: Callable[[], None]) -> None:
        """`on_found` is called when users may be due for a list."""
        self._parts, self._on_found = parts, on_found
        self._catalogue: ByHalfHash | None = None

    async def look_forever(self) -> None:
        """Until cancelled."""
        while True:
            users = self._next()
            if users is None:
                await asyncio.sleep(IDLE_S)
                continue
            await self._look_through(users)
            await asyncio.sleep(REST_S)

    def _next(self) -> UserPartition | None:
        """Of the partitions whose lists were not all looked at since items were last withdrawn the one whose turn was longest
        ago: where items are withdrawn all the time, each has its turn."""
        if not self._parts.replicas_caught_up():
            return None
        tracker = self._parts.tracker
        wanted = tracker.renewal.withdrawals
        due = (users for users in tracker.users.values() if users.looked_through != wanted)
        return min(due, key=lambda users: -1 if users.looked_through is None else users.looked_through, default=None)

    async def _look_through(self, users: UserPartition) -> None:
        tracker, last = self._parts.tracker, None
        withdrawals, catalog = tracker.renewal.withdrawals, tracker.knowledge.catalog
        if self._catalogue is None or self._catalogue.version != catalog.version:
            began = time.monotonic()
            self._catalogue = await asyncio.to_thread(ByHalfHash, catalog)
            await asyncio.sleep(REST_TIMES * (time.monotonic() - began))
        while tracker.users.get(users.partition) is users:  # else it was taken away meanwhile
            if len(tracker.queue) >= QUEUE_FULL_USERS:
                await asyncio.sleep(IDLE_S)
                continue
            found = users.store.items_with_prefix(LEDGER_PREFIX, last, USERS_AT_ONCE)
            self._look_at(users, found, self._catalogue)
            if len(found) < USERS_AT_ONCE:
                users.looked_through = withdrawals
                return
            last = found[-1][0]
            await asyncio.sleep(REST_S)

    def _look_at(self, users: UserPartition, found: list[tuple[bytes, bytes]], catalogue: ByHalfHash) -> None:
        tracker, now, now_ms = self._parts.tracker, time.monotonic(), time.time_ns() // 1_000_000
        moment_ms, pages = tracker.knowledge.stream_time_ms(now_ms), tracker.refresher.pages
        # A ledger does not say of which placement a list is, so with several all that it has are looked at.
        lists = newest_lists([value for _, value in found], LISTS if pages.others else 1)
        indices = catalogue.indices_of(lists.items)
        stale = catalogue.is_stale(indices, lists.filled)
        seen, slots = pages.seen(now_ms), pages.home.slots
        for i, rows in _by_user(lists.who):
            user = users.partition, found[i][0].removeprefix(LEDGER_PREFIX)
            if user in tracker.lists:
                continue  # a newer one than the store has, and looked at when an item is withdrawn
            allowed = [page.allowed(user[1], seen) for page in (pages.home, *pages.others)]
            listed = indices[rows][lists.filled[rows]]
            if stale[rows].any() or not all(may is None or may[listed].all() for may in allowed):
                tracker.queue.add(*user, "catalog", now)
                self._on_found()
            elif slots <= PLACES:  # so that it ages, and is not sent again where nothing in it changes
                newest = rows.start
                age_s = max(0.0, (moment_ms - int(lists.at_ms[newest])) / 1000)
                places = np.where(lists.filled[newest], indices[newest], NO_INDEX)[:slots]
                tracker.lists.restore(user, tuple(places.tolist()), now - age_s)


def _by_user(who: list[int]) -> Iterator[tuple[int, slice]]:
    """Each user, and which rows are theirs."""
    begin = 0
    for user, rows in groupby(who):
        end = begin + sum(1 for _ in rows)
        yield user, slice(begin, end)
        begin = end

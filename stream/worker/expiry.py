"""Users who have done nothing for `user_ttl_days` are forgotten: state, ledger and published list, in the changelog as well.

All users of a partition are looked at in slices, again and again. What is found is deleted by the next commit, as tombstones
in the transaction of everything else, so a replay of the changelog forgets them too. Whoever is in memory is not touched:
something of theirs has just happened, or is being made.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from stream.partitions.users import UserPartition
from stream.state.record import last_event_ms
from stream.wire.records import MAX_ID_BYTES
from stream.worker.parts import WorkerParts

USERS_AT_ONCE: Final = 500
REST_S: Final = 0.05
"""Between two slices: ten thousand users a second, at some hundredths of a core."""

IDLE_S: Final = 1.0
BETWEEN_PASSES_S: Final = 600.0
"""Of one partition."""

EXPIRED_AT_ONCE: Final = 2_000
"""That wait for a commit; while there are so many no more are looked for."""

_NO_USER: Final = b"\xf8"
"""No UTF-8 begins with this or what is behind it; the keys of ledgers, totals and marks do."""


class Expiry:
    """Runs on the event loop."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts, self._ttl_ms = parts, parts.settings.user_ttl_days * 86_400_000

    async def look_forever(self) -> None:
        """Until cancelled."""
        while True:
            for users in list(self._parts.tracker.users.values()):
                if time.monotonic() - users.looked_for_expiry_s >= BETWEEN_PASSES_S:
                    await self._look_through(users)
                    users.looked_for_expiry_s = time.monotonic()
            await asyncio.sleep(IDLE_S)

    async def _look_through(self, users: UserPartition) -> None:
        tracker, last = self._parts.tracker, None
        while tracker.users.get(users.partition) is users:  # else it was taken away meanwhile
            if len(users.expired) >= EXPIRED_AT_ONCE:
                await asyncio.sleep(REST_S)
                continue
            found = users.store.items_with_prefix(b"", last, USERS_AT_ONCE)
            # Event time: while a long past is replayed nobody in it is old.
            before_ms = tracker.knowledge.stream_time_ms(time.time_ns() // 1_000_000) - self._ttl_ms
            for key, value in found:
                if key >= _NO_USER:
                    break
                last_ms = last_event_ms(value) if len(key) <= MAX_ID_BYTES else None
                if last_ms is not None and last_ms < before_ms:
                    users.expire(key)
            if len(found) < USERS_AT_ONCE or found[-1][0] >= _NO_USER:
                return
            last = found[-1][0]
            await asyncio.sleep(REST_S)

"""When a vector on disk was last of use, so that those of old texts and queries go some day.

The day is the end of its value. It is written again only now and then: what is read often would else be written as often.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from stream.storage.rocks import PartitionStore

DAY_BYTES: Final = 2
KEYS_AT_ONCE: Final = 500
REST_S: Final = 0.05
"""Between two slices of a store that is looked through."""

_DAY_S: Final = 86_400


def today() -> int:
    """Days since 1970, of this machine's clock."""
    return int(time.time()) // _DAY_S


class LastUsed:
    """Which days are long ago."""

    def __init__(self, ttl_days: int, today: Callable[[], int] = today) -> None:
        """`ttl_days`: how long after its last use a vector stays; 0: for ever."""
        self.ttl_days, self._today = ttl_days, today

    def stamp(self) -> bytes:
        """Today, as the end of a value."""
        return self._today().to_bytes(DAY_BYTES, "little")

    def is_old(self, stamp: bytes | None) -> bool:
        """Whether a value with this stamp (None: of an earlier release) that is used now is to be written again. One from the
        future is, too: a clock was wrong."""
        if not self.ttl_days:
            return False
        day = None if stamp is None else int.from_bytes(stamp, "little")
        return day is None or not self._today() - max(1, self.ttl_days // 4) < day <= self._today()

    def is_over(self, stamp: bytes) -> bool:
        """Whether a value with this stamp may go."""
        return self.ttl_days > 0 and int.from_bytes(stamp, "little") < self._today() - self.ttl_days


async def look_through(store: PartitionStore, prefix: bytes, judged: Callable[[bytes], bytes | None]) -> int:
    """Of all values whose key begins with `prefix`, in slices: `judged` says what is to be there, None for nothing.

    Returns:
        How many were deleted.
    """
    last, deleted = None, 0
    while True:
        found = await asyncio.to_thread(store.items_with_prefix, prefix, last, KEYS_AT_ONCE)
        wanted = [(key, judged(value)) for key, value in found]
        changed = [new for new, old in zip(wanted, found, strict=True) if new != old]
        if changed:
            await asyncio.to_thread(store.write, changed, None)
            deleted += sum(value is None for _, value in changed)
        if len(found) < KEYS_AT_ONCE:
            return deleted
        last = found[-1][0]
        await asyncio.sleep(REST_S)

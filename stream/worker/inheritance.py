"""What the last owner of a partition left undone, be it this worker before a crash: users who are owed a list.

Their events are committed, so nothing on the topic tells of them: their marks lie in the store, which has been recovered before
a partition is opened. It is read in slices of a few milliseconds, since a partition may have as many of them as users.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from stream.errors import CorruptStateError
from stream.kafka.types import TopicPartition
from stream.partitions.users import UserPartition
from stream.state.owed import OWED_PREFIX, read_mark
from stream.worker.parts import WorkerParts

logger = logging.getLogger(__name__)

MARKS_AT_ONCE: Final = 1_000
"""About 2 ms of work on the event loop."""


class Inheritance:
    """Queues the users whose marks are in the stores of newly opened partitions. All on the event loop."""

    def __init__(
        self,
        parts: WorkerParts,
        opened: Callable[[TopicPartition], Awaitable[UserPartition | None]],
        on_found: Callable[[], None],
    ) -> None:
        """
        Args:
            parts: of the worker.
            opened: a partition of the events topic, opened where it is this worker's to open.
            on_found: called when users may be due for a list.
        """
        self._parts, self._opened, self._on_found = parts, opened, on_found

    async def take_up(self, owned: list[TopicPartition]) -> None:
        """Of every partition of the events topic among these, once; to be called again and again."""
        settings = self._parts.settings
        for tp in owned if settings.recommend else ():
            if tp.topic == settings.topic_events:
                users = await self._opened(tp)
                if users is not None and not users.are_owed_read:
                    await self._read(users)
                    await asyncio.sleep(0)  # to open one takes a millisecond, 256 of them what a list may not wait for

    async def _read(self, users: UserPartition) -> None:
        tracker, last = self._parts.tracker, None
        while tracker.users.get(users.partition) is users:  # else it was taken away meanwhile
            found = users.store.items_with_prefix(OWED_PREFIX, last, MARKS_AT_ONCE)
            now = time.monotonic()
            for key, value in found:
                user = key.removeprefix(OWED_PREFIX)
                tracker.queue.restore_owed(users.partition, user, _since_ms(user, value), now)
            if found:
                last = found[-1][0]
                self._on_found()
            if len(found) < MARKS_AT_ONCE:
                users.are_owed_read = True
                return
            await asyncio.sleep(0)


def _since_ms(user: bytes, mark: bytes) -> int:
    """Since when the list is owed; of a mark of another release, since now: the list is owed all the same."""
    try:
        return read_mark(mark)
    except CorruptStateError as error:
        logger.warning("user %r: %s. Nothing to do: the list is made now", user[:64], error)
        return time.time_ns() // 1_000_000

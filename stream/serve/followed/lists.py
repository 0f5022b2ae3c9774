"""The last list of every person in one placement, from its topic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from stream.kafka.replica import Replicated
from stream.serve.followed.table import COUNT_KEY, POSITION_PREFIX, FollowedTable
from stream.wire.records import EventSource, Recommendation, Trigger, recommendation_decoder

LOOKED_AT: Final = 2_000
"""Lists looked through for who gets an item."""


class Arrived(NamedTuple):
    """A list that has just been read."""

    user: bytes
    source: EventSource
    trigger: Trigger
    timestamp_ms: int
    """Kafka's."""
    places: int
    explored: int


class _Head(msgspec.Struct, frozen=True):
    source: EventSource
    trigger: Trigger
    items: tuple[_Place, ...]


class _Place(msgspec.Struct, frozen=True, gc=False):
    strategy: str


_heads = msgspec.json.Decoder(_Head)

OnArrived = Callable[[list[Arrived]], None]


class LastLists:
    """Kept as they were published; whoever waits for one of them is told on the event loop."""

    def __init__(self, table: FollowedTable, on_arrived: OnArrived) -> None:
        """`on_arrived` is called in the follower's thread."""
        self._table, self._on_arrived = table, on_arrived
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._lock = threading.Lock()

    # --- the follower's side ---

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.follower.Taker`."""
        return self._table.position(partition)

    def take(self, partition: int, records: list[Replicated]) -> None:
        """See `stream.kafka.follower.Taker`."""
        newest = {record.key: record.value for record in records if record.key}
        self._table.write_counted(partition, newest, records[-1].offset + 1)
        self._tell(newest)
        self._on_arrived([each for record in records if (each := _arrived(record)) is not None])

    def begin_anew(self) -> None:
        """See `stream.kafka.follower.Taker`."""
        self._table.drop_all()

    def _tell(self, users: dict[bytes, bytes | None]) -> None:
        with self._lock:
            told = [future for user in self._waiting.keys() & users.keys() for future in self._waiting.pop(user)]
        for future in told:
            future.get_loop().call_soon_threadsafe(_wake, future)

    # --- the asking side ---

    def get(self, user: bytes) -> Recommendation | None:
        """Their last list; None: there is none that can be read."""
        value = self._table.get(user)
        return None if value is None else _read(value)

    def waiter(self, user: bytes) -> Waiter:
        """Hears of every list of theirs from now on, once."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.setdefault(user, []).append(future)
        return Waiter(future, lambda: self._forget(user, future))

    def _forget(self, user: bytes, future: asyncio.Future[None]) -> None:
        with self._lock:
            waiting = self._waiting.get(user, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiting.pop(user, None)

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def count(self) -> int:
        """People with a list; see `FollowedTable.count`."""
        return self._table.count()

    def some(self, limit: int = LOOKED_AT) -> list[tuple[bytes, bytes]]:
        """Some people and their lists as they were published; blocking, for a thread."""
        found = self._table.store.items_with_prefix(b"", limit=limit + 1024)
        return [(key, value) for key, value in found if not key.startswith((POSITION_PREFIX, COUNT_KEY))][:limit]


class Waiter:
    """Hears of one list, or gives up. Used once."""

    def __init__(self, future: asyncio.Future[None], forget: Callable[[], None]) -> None:
        """`forget`: nobody waits any more."""
        self._future, self.forget = future, forget

    async def wait(self, timeout_s: float) -> bool:
        """Whether one came within `timeout_s`."""
        try:
            await asyncio.wait([self._future], timeout=timeout_s)
            return self._future.done()
        finally:
            self.forget()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _read(value: bytes) -> Recommendation | None:
    try:
        return recommendation_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of a later release, say: then it is ranked on the spot
        return None


def _arrived(record: Replicated) -> Arrived | None:
    if record.key is None or record.value is None:
        return None
    try:
        head = _heads.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    explored = sum(place.strategy == "explore" for place in head.items)
    return Arrived(record.key, head.source, head.trigger, record.timestamp_ms, len(head.items), explored)

"""A table of what a topic says, with where reading goes on: both in one write, so that a restart neither misses nor repeats."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Mapping
from typing import Final

from stream.errors import StorageError
from stream.storage.rocks import PartitionStore, PartitionStores

POSITION_PREFIX: Final = b"\xf7"
"""Before a partition in the key of where reading goes on: no user's id begins like that, since none is UTF-8."""

COUNT_KEY: Final = b"\xf6count"
"""Likewise."""

_KEY: Final = struct.Struct(">I")
_AT: Final = struct.Struct("<q")


class FollowedTable:
    """One RocksDB for all partitions of a topic. Written by its follower's thread, read from any."""

    def __init__(self, stores: PartitionStores) -> None:
        self._stores = stores
        self.store: PartitionStore = stores[0]
        self._dropping = threading.Lock()

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.follower.Taker`."""
        (value,) = self.store.get_many([POSITION_PREFIX + _KEY.pack(partition)])
        return None if value is None else int(_AT.unpack(value)[0])

    def write(self, partition: int, values: Iterable[tuple[bytes, bytes | None]], position: int) -> None:
        """These values (None deletes), and that reading of this partition goes on there.

        A crash in between leaves values that are ahead: they come again, and come out the same.
        """
        self.store.write([*values, (POSITION_PREFIX + _KEY.pack(partition), _AT.pack(position))], None)

    def count(self) -> int:
        """How many keys have come, less those that were deleted; about one in a hundred is missed."""
        (value,) = self.store.get_many([COUNT_KEY])
        return 0 if value is None else int(_AT.unpack(value)[0])

    def write_counted(self, partition: int, values: Mapping[bytes, bytes | None], position: int) -> None:
        """`write`, and count keys that are new or deleted."""
        store = self.store
        new = sum(value is not None and store.has_never(key) for key, value in values.items())
        gone = sum(value is None and not store.has_never(key) for key, value in values.items())
        count = _AT.pack(max(0, self.count() + new - gone))
        self.write(partition, [*values.items(), (COUNT_KEY, count)], position)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        store = self.store
        try:
            (value,) = store.get_many([key])
        except StorageError:
            with self._dropping:  # where the topic was made again: until there is a store again
                again = self.store
            if again is store:
                raise
            (value,) = again.get_many([key])
        return value

    def drop_all(self) -> None:
        """Forget everything."""
        with self._dropping:
            self._stores.wipe(0)
            self.store = self._stores[0]

    def close(self) -> None:
        """Flush and close."""
        self._stores.close_all()

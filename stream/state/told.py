"""The mark of catalogue records that were refused and told of: up to which one of a partition the dead letters are out.

Every worker reads the whole catalogue again at each start, so without it every start would tell of the same records again. The
worker that owns partition 0 of the events topic tells for all of them, and keeps the mark with the states of that partition:
in the changelog, in the transaction of a commit that comes after the dead letters were acknowledged.

Packed mark, version 1, little endian, 17 B: version u8, offset i64 of the last record that was told of, newest Kafka timestamp
i64 ms of those. Its key: `TOLD_PREFIX`, partition of the items topic u32 big endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from stream.errors import CorruptStateError

TOLD_PREFIX = b"\xfb"
"""Before the partition in the key of a mark: no user's id begins like that, since none is UTF-8."""

MARK_VERSION = 1
_MARK = struct.Struct("<Bqq")
_KEY = struct.Struct(">I")


class Told(NamedTuple):
    """Everything up to here was told of."""

    offset: int
    timestamp_ms: int

    def includes(self, offset: int, timestamp_ms: int) -> bool:
        """Whether this record was: a younger one at an earlier offset is of a topic that was made anew."""
        return offset <= self.offset and timestamp_ms <= self.timestamp_ms


NOTHING_TOLD = Told(-1, -1)


def told_key(partition: int) -> bytes:
    """Key of the mark of a partition of the items topic."""
    return TOLD_PREFIX + _KEY.pack(partition)


def partition_of(key: bytes) -> int:
    """The partition that this is the key of."""
    partition: int = _KEY.unpack(key.removeprefix(TOLD_PREFIX))[0]
    return partition


def pack_told(told: Told) -> bytes:
    """The stored mark."""
    return _MARK.pack(MARK_VERSION, *told)


def read_told(value: bytes) -> Told:
    """What a stored mark says.

    Raises:
        CorruptStateError: bytes that are no mark that this version wrote.
    """
    if len(value) != _MARK.size or value[0] != MARK_VERSION:
        raise CorruptStateError(f"a mark of refused items is not of version {MARK_VERSION}: {value[:24].hex()}")
    return Told(*_MARK.unpack(value)[1:])

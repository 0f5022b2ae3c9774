"""The mark of the log that a partition's states were made of: which topic of that name it was, and how far it was applied.

Fences in states and item statistics are offsets. Where the topic is deleted and made again, restored or mirrored, the same
offsets mean other events, and all would be taken for known until the new log is longer than the old one. So which log it was is
kept beside the states, in the transaction of each commit that changes any.

Packed mark, version 1, little endian, 37 B: version u8, epoch u16, reached i64, partitions of the events topic u16, of the item
deltas u16, topic id 22 bytes as Kafka writes it (zeros: the broker did not tell).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from stream.errors import CorruptStateError
from stream.wire.codes import EPOCH_OFFSETS

LOG_PREFIX: Final = b"\xfa"
"""No user's id begins like that, since none is UTF-8."""

LOG_KEY: Final = LOG_PREFIX + b"log"

MEANT_KEY: Final = LOG_PREFIX + b"meant"
"""A person has said that the topic of this id takes the place of the one before (`penchant topics new-events-log`)."""

RESTORING: Final = "penchant-restoring"
"""Instead of a topic id: the partition is being restored, and not all of it is there yet."""

MARK_VERSION: Final = 1
_MARK = struct.Struct("<BHqHH22s")
_MEANT = struct.Struct("<B22s")


class LogMark(NamedTuple):
    """Of one partition."""

    topic_id: str | None
    """None: not known."""
    epoch: int
    """How many logs there were before."""
    reached: int
    """Everything before this offset of the log is in the states."""
    partitions: int
    item_partitions: int

    @property
    def base_offset(self) -> int:
        """What is added to the log's offsets."""
        return self.epoch * EPOCH_OFFSETS


def pack_log(mark: LogMark) -> bytes:
    """The stored mark."""
    return _MARK.pack(MARK_VERSION, *mark[1:], (mark.topic_id or "").encode())


def read_log(value: bytes) -> LogMark:
    """What a stored mark says.

    Raises:
        CorruptStateError: bytes that are no mark that this version wrote.
    """
    if len(value) != _MARK.size or value[0] != MARK_VERSION:
        raise CorruptStateError(f"a mark of an events log is not of version {MARK_VERSION}: {value[:40].hex()}")
    _, epoch, reached, partitions, item_partitions, topic_id = _MARK.unpack(value)
    return LogMark(_text(topic_id), epoch, reached, partitions, item_partitions)


def pack_meant(topic_id: str | None) -> bytes:
    """What is stored under `MEANT_KEY`."""
    return _MEANT.pack(MARK_VERSION, (topic_id or "").encode())


def read_meant(value: bytes) -> str | None:
    """The topic id that was meant; None: of a broker that does not tell.

    Raises:
        CorruptStateError: bytes that this version did not write.
    """
    if len(value) != _MEANT.size or value[0] != MARK_VERSION:
        raise CorruptStateError(
            f"what was said of a new events log is not of version {MARK_VERSION}: {value[:40].hex()}"
        )
    return _text(_MEANT.unpack(value)[1])


def _text(topic_id: bytes) -> str | None:
    try:
        return topic_id.rstrip(b"\0").decode() or None
    except UnicodeDecodeError:
        raise CorruptStateError(f"a mark of an events log names no topic: {topic_id.hex()}") from None

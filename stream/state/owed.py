"""The mark of a user who is owed a list: it was not made within `list_deadline_s`, and their events are committed without it.

Kept apart from the interest state, under a key of its own in the same changelog: who is late is a matter of timing, and the
state must come out to the byte however the topic was cut. One transaction writes both. Side by side in the store, the marks
are found without a look at any state, which is what a new owner of a partition does first. A mark is deleted when the list
has been made.

Packed mark, version 1, little endian, 9 B: version u8, Kafka timestamp i64 ms of the oldest event that no list reflects.
"""

from __future__ import annotations

import struct

from stream.errors import CorruptStateError

OWED_PREFIX = b"\xfc"
"""Before the user's id in the key of a mark: no id begins like that, since none is UTF-8."""

MARK_VERSION = 1
_MARK = struct.Struct("<Bq")


def pack_mark(oldest_timestamp_ms: int) -> bytes:
    """The stored mark of a user whose oldest unanswered event has this Kafka timestamp."""
    return _MARK.pack(MARK_VERSION, oldest_timestamp_ms)


def read_mark(value: bytes) -> int:
    """Kafka timestamp of the oldest event that no list reflects, ms.

    Raises:
        CorruptStateError: bytes that are no mark that this version wrote.
    """
    if len(value) != _MARK.size or value[0] != MARK_VERSION:
        raise CorruptStateError(f"a mark of a list that is owed is not of version {MARK_VERSION}: {value[:16].hex()}")
    oldest_timestamp_ms: int = _MARK.unpack(value)[1]
    return oldest_timestamp_ms

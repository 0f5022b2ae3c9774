"""Marks of people who asked for something: restricted, objecting, erased. Kept apart from the states, in the same
changelog and by the same transactions.

The mark of somebody who was erased must not name them: its key is a keyed BLAKE2b of the id, with a salt of the
partition's own. It is needed as long as their old events may be read again, and deleted when the topic has none left.

Packed, version 1, little endian: version u8, kind u8, offset i64 of the request, Kafka timestamp i64 ms of the request.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, get_args

from stream.errors import CorruptStateError

STANDING_PREFIX: Final = b"\xf6"
"""Before the user's id: no id begins like that, since none is UTF-8."""

ERASED_PREFIX: Final = b"\xf7"
"""Before the keyed hash of an id."""

SALT_KEY: Final = ERASED_PREFIX + b"salt"
SALT_BYTES: Final = 32
HASH_BYTES: Final = 16

StandingKind = Literal["restricted", "objecting", "erased"]
_KINDS: Final[tuple[StandingKind, ...]] = get_args(StandingKind)
_MARK: Final = struct.Struct("<BBqq")
_VERSION: Final = 1


class Standing(NamedTuple):
    """What a person asked for, by the request at this offset."""

    kind: StandingKind
    offset: int
    since_ms: int


def pack_standing(standing: Standing) -> bytes:
    """The stored mark."""
    return _MARK.pack(_VERSION, _KINDS.index(standing.kind), standing.offset, standing.since_ms)


def read_standing(value: bytes) -> Standing:
    """What a stored mark says.

    Raises:
        CorruptStateError: bytes that are no mark that this version wrote.
    """
    if len(value) != _MARK.size or value[0] != _VERSION or value[1] >= len(_KINDS):
        raise CorruptStateError(f"a mark of a person's request is not of version {_VERSION}: {value[:24].hex()}")
    _, kind, offset, since_ms = _MARK.unpack(value)
    return Standing(_KINDS[kind], offset, since_ms)


def erased_key(user: bytes, salt: bytes) -> bytes:
    """Key of the mark of somebody who was erased."""
    return ERASED_PREFIX + blake2b(user, digest_size=HASH_BYTES, key=salt).digest()

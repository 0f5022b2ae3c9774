"""Short codes that state and ledgers keep of what records say: 128 bits of a list's id, 3 of a context, 24 of an event id, and
which log an offset is of."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from zlib import crc32

EPOCH_OFFSETS: Final = 1 << 44
"""A partition of the events topic that was made again is another log, whose offsets begin anew. In states, lists and item
deltas they go on: those of the n-th log after the first are n times so much more, and so larger than all of before."""


def offset_in_log(offset: int) -> int:
    """Where a record lies in Kafka, by an offset that goes on over logs."""
    return offset % EPOCH_OFFSETS


def list_id_of(text: str) -> tuple[int, int]:
    """The 128 bits of a recommendation id: Penchant's own are 32 hex digits; of any other, its hash."""
    raw = text.encode(errors="surrogatepass")
    digits = len(raw) == 32 and set(raw) <= _HEX_DIGITS
    whole = bytes.fromhex(text) if digits else blake2b(raw, digest_size=16).digest()
    return int.from_bytes(whole[:8], "big"), int.from_bytes(whole[8:], "big")


_HEX_DIGITS = frozenset(b"0123456789abcdef")


def context_bucket(context: dict[str, str]) -> int:
    """1 to 7 for a device, place and scene; the ring stores three bits of it."""
    described = "\x00".join(context.get(name, "") for name in ("device", "place", "scene"))
    return crc32(described.encode()) % 7 + 1


def event_id_hash(event_id: str) -> int:
    """24 bits of an event id, never 0. Compared only between behaviours of one user on one item with one action."""
    return crc32(event_id.encode()) & 0xFFFFFF or 1

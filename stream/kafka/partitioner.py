"""Which partition a producer puts a key in."""

from __future__ import annotations

from zlib import crc32

_MASK, _M, _SEED = 0xFFFFFFFF, 0x5BD1E995, 0x9747B28C


def key_partition(key: bytes, partitions: int, partitioner: str) -> int:
    """The partition of a key that is not empty, by the setting `partitioner`."""
    hashed = murmur2(key) & 0x7FFFFFFF if partitioner == "murmur2_random" else crc32(key)
    return hashed % partitions


def murmur2(data: bytes) -> int:
    """32 bits, unsigned, as org.apache.kafka.common.utils.Utils.murmur2 has them."""
    h = _SEED ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15

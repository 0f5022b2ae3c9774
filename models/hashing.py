"""The 64-bit hash by which packed state and arrays name an item."""

from __future__ import annotations

from hashlib import blake2b

NO_ITEM = 0
"""Never the hash of an id."""


def item_hash(item_id: str) -> int:
    """First 64 bits of BLAKE2b of the id's UTF-8, never `NO_ITEM`.

    Stable across processes and releases, because it is stored. With 10 million items the chance that any two share a hash
    is about 3e-6.
    """
    return int.from_bytes(blake2b(item_id.encode(), digest_size=8).digest(), "little") or 1


def query_hash(text: str) -> int:
    """Hash of a query's text, in a space of its own so that it never meets an item id."""
    return item_hash("\x00query\x00" + text)

"""Pseudonyms: ids that name nobody to who has no key. HMAC-SHA256 (RFC 2104) of the id, cut to 128 bits, in base32 (RFC 4648)
without padding, lower case: 26 characters.

A key ring holds the newest key first. New pseudonyms are made with it; the ids of older keys go on meaning the same
people as long as their keys are in the ring.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

PSEUDONYM_BYTES: Final = 16
KEY_BYTES: Final = 32


class RingKey(NamedTuple):
    """A key and its name."""

    name: str
    key: bytes


class KeyRing:
    """Keys, the newest first."""

    def __init__(self, keys: tuple[RingKey, ...]) -> None:
        self.keys = keys

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """`NAME:BASE64,NAME:BASE64`, the newest first.

        Raises:
            ValueError: it is not of that form, a key has less than 16 bytes, or a name comes twice.
        """
        keys = []
        for part in filter(None, (each.strip() for each in text.replace("\n", ",").split(","))):
            name, colon, encoded = part.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not (name and colon and len(key) >= PSEUDONYM_BYTES):
                raise ValueError("each key is NAME:BASE64 of 16 bytes or more: make one with `penchant keys pseudonym`")
            keys.append(RingKey(name, key))
        if not keys or len({key.name for key in keys}) != len(keys):
            raise ValueError("a key ring has one key at least, and each name once")
        return cls(tuple(keys))

    def pseudonym(self, user_id: str) -> str:
        """The id by the newest key."""
        return pseudonym(user_id, self.keys[0].key)

    def all_of(self, user_id: str) -> Iterator[str]:
        """The ids by each key, the newest first."""
        return (pseudonym(user_id, each.key) for each in self.keys)


def pseudonym(user_id: str, key: bytes) -> str:
    """The id that stands for a person."""
    digest = hmac.new(key, user_id.encode(), sha256).digest()[:PSEUDONYM_BYTES]
    return base64.b32encode(digest).decode().rstrip("=").lower()


def new_key(name: str) -> str:
    """A key as a ring has it."""
    return f"{name}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"

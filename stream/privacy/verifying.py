"""What a receipt proves: that a worker with the key wrote it, whose it is, and what is held no longer by now."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from msgspec import UNSET

from stream.privacy.signing import is_signed
from stream.wire.requests import Receipt


class Verdict(NamedTuple):
    """Of one receipt; None: it was not asked."""

    is_signed: bool | None
    is_of_person: bool | None
    held_until_ms: int
    """When the last thing goes that goes by itself; 0: nothing does."""
    to_do: tuple[str, ...]
    """What somebody has to do, since it does not go by itself."""

    @property
    def is_good(self) -> bool:
        """Nothing that was asked is wrong."""
        return self.is_signed is not False and self.is_of_person is not False


def verify_receipt(receipt: Receipt, public_keys: Sequence[str], user_id: str | None) -> Verdict:
    """Check a receipt; `public_keys`: one of them must have signed it, none: that is not asked; `user_id`: whose it must be."""
    signed = is_signed(receipt, public_keys) if public_keys else None
    person = None if user_id is None else person_hash(user_id, bytes.fromhex(receipt.salt)) == receipt.person
    until = [each.until_ms for each in receipt.still_held if each.until_ms is not None]
    by_hand = tuple(f"{each.where}: {each.why}" for each in receipt.still_held if each.until_ms is None)
    return Verdict(signed, person, max(until, default=0), by_hand)


def is_unsigned(receipt: Receipt) -> bool:
    """Whether nobody signed it."""
    return receipt.signature is UNSET


def person_hash(user_id: str, salt: bytes) -> str:
    """What stands for a person in a receipt."""
    return blake2b(user_id.encode(), digest_size=16, salt=salt).hexdigest()

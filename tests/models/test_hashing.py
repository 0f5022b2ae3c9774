"""The item hash is stored, so it may never change."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import hashing
from models.hashing import NO_ITEM, item_hash


@pytest.mark.parametrize(
    ("item_id", "stored"),
    [
        ("i", 0x3C67888C3C79D1D4),
        ("item-7", 0xFFAA43537F02FCD6),
        ("B00005N5PF", 0xCEA56BC806200D47),
        ("登山鞋", 0x16CDD3728464EAFF),
        ("😀", 0x70E72AE2EB8BF0F5),
        ("x" * 128, 0x0224E1E874E31C90),
    ],
)
def test_the_hash_of_an_id_is_what_earlier_releases_stored(item_id: str, stored: int) -> None:
    assert stored == item_hash(item_id)


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_hash_is_an_unsigned_64_bit_number_and_never_the_empty_mark(item_id: str) -> None:
    hashed = item_hash(item_id)

    assert NO_ITEM < hashed < 2**64
    assert hashed == int(np.array([hashed], dtype=np.uint64)[0])


def test_an_id_that_would_hash_to_the_empty_mark_hashes_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zero:
        def digest(self) -> bytes:
            return bytes(8)

    monkeypatch.setattr(hashing, "blake2b", lambda data, digest_size: Zero())

    assert item_hash("any") == 1


def test_the_hash_is_the_documented_one() -> None:
    assert int.from_bytes(blake2b("登山鞋".encode(), digest_size=8).digest(), "little") == item_hash("登山鞋")


def test_100_000_ids_share_no_hash() -> None:
    assert len({item_hash(f"item-{number}") for number in range(100_000)}) == 100_000

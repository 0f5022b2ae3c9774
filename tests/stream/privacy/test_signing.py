"""stream/privacy/signing.py and verifying.py: who signed, whose it is."""

from __future__ import annotations

import msgspec
import pytest

from stream.privacy.asking import new_request
from stream.privacy.signing import is_signed, new_key_pair, public_key_of, signed_receipt, signed_request
from stream.privacy.verifying import person_hash, verify_receipt
from stream.wire.requests import Receipt, StillHeld, read_receipt, read_request

pytest.importorskip("cryptography")


def receipt_of(user: str) -> Receipt:
    held = (StillHeld("interest.events", "as sent", 2_000), StillHeld("backups", "delete them"))
    return Receipt(
        "r1", "erase", person_hash(user, bytes(16)), bytes(16).hex(), "interest.events", 0, 7, 1_000, "support",
        {"states": 1}, True, {}, held, (),
    )  # fmt: skip


def test_a_request_is_signed_by_its_key_and_by_no_other() -> None:
    pair, other = new_key_pair(), new_key_pair()
    request = signed_request(new_request("u1", "erase", "support"), pair.private)
    assert is_signed(request, [other.public, pair.public])
    assert not is_signed(request, [other.public])
    assert not is_signed(new_request("u1", "erase"), [pair.public])
    assert public_key_of(pair.private) == pair.public


@pytest.mark.parametrize("field", ["user_id", "request_id", "requester"])
def test_a_changed_request_is_not_signed(field: str) -> None:
    pair = new_key_pair()
    request = signed_request(new_request("u1", "erase", "support"), pair.private)
    assert not is_signed(msgspec.structs.replace(request, **{field: "other"}), [pair.public])


@pytest.mark.parametrize("signature", ["", "!", "AAAA", "ü"])
def test_a_signature_that_is_none_is_none(signature: str) -> None:
    pair = new_key_pair()
    assert not is_signed(msgspec.structs.replace(new_request("u1", "erase"), signature=signature), [pair.public])


def test_a_receipt_proves_whose_it_is_and_who_gave_it() -> None:
    pair = new_key_pair()
    receipt = read_receipt(msgspec.json.encode(signed_receipt(receipt_of("u1"), pair.private)))
    good = verify_receipt(receipt, [pair.public], "u1")
    assert good.is_good
    assert (good.held_until_ms, good.to_do) == (2_000, ("backups: delete them",))
    assert not verify_receipt(receipt, [pair.public], "u2").is_good
    assert not verify_receipt(receipt, [new_key_pair().public], "u1").is_good
    assert verify_receipt(receipt, [], None).is_good


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b'{"request":',
        b'{"user_id":"u","request":"explode","request_id":"r"}',
        b'{"user_id":"","request":"erase","request_id":"r"}',
        b'{"user_id":"u","request":"erase"}',
        b'{"user_id":"u","request":"erase","request_id":"r","item_id":"i"}',
        b'{"user_id":"u","request":"rectify","request_id":"r"}',
        b'{"user_id":"u","action":"click","item_id":"the \\"request\\""}',
    ],
)
def test_what_is_no_request_is_left_to_whoever_decodes_events(value: bytes | None) -> None:
    assert read_request(value) is None

"""Ed25519 signatures (RFC 8032) of requests and receipts, by the library `cryptography`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from stream.errors import UsageError
from stream.wire.requests import PrivacyRequest, Receipt, signed_bytes


class KeyPair(NamedTuple):
    """Base64 of 32 bytes each."""

    private: str
    public: str


def new_key_pair() -> KeyPair:
    """A new pair.

    Raises:
        UsageError: `cryptography` is not installed.
    """
    private = _library().Ed25519PrivateKey.generate()
    return KeyPair(_text(private.private_bytes_raw()), _text(private.public_key().public_bytes_raw()))


def public_key_of(private_key: str) -> str:
    """The public key that belongs to a private one."""
    private = _library().Ed25519PrivateKey.from_private_bytes(base64.b64decode(private_key))
    return _text(private.public_key().public_bytes_raw())


def signed_request(request: PrivacyRequest, private_key: str) -> PrivacyRequest:
    """The request with its signature; both keys base64."""
    return msgspec.structs.replace(request, signature=_signature(request, private_key))


def signed_receipt(receipt: Receipt, private_key: str) -> Receipt:
    """The receipt with its signature."""
    return msgspec.structs.replace(receipt, signature=_signature(receipt, private_key))


def is_signed(record: PrivacyRequest | Receipt, public_keys: Sequence[str]) -> bool:
    """Whether the record is signed by one of these keys."""
    if record.signature is UNSET:
        return False
    library = _library()
    try:
        signature = base64.b64decode(str(record.signature), validate=True)
    except (binascii.Error, ValueError):
        return False
    for key in public_keys:
        try:
            library.Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(signature, signed_bytes(record))
        except _invalid_signature():
            continue
        return True
    return False


def check_signing() -> None:
    """Before anything has to be signed or verified.

    Raises:
        UsageError: `cryptography` is not installed.
    """
    _library()


def _signature(record: PrivacyRequest | Receipt, private_key: str) -> str:
    private = _library().Ed25519PrivateKey.from_private_bytes(base64.b64decode(private_key))
    return _text(private.sign(signed_bytes(record)))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _library() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  (an extra)
    except ImportError:
        raise UsageError("signatures need the library cryptography.", 'pip install "penchant[privacy]"') from None
    return ed25519


def _invalid_signature() -> Any:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    return InvalidSignature

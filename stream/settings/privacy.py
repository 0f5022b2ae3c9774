"""What is kept of people, and how they have it changed."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from pydantic import BaseModel, Field, SecretStr, field_validator

from stream.wire.pseudonyms import KeyRing

_KEY_BYTES: Final = 32


class PrivacySettings(BaseModel):
    """What is kept of people, and how they have it changed."""

    keep_contributions: bool = Field(
        True,
        description="Write down beside each person's state what they have added to statistics of items and strategies, so that "
        "`erase` takes it out again; false: what they added stays in the sums",
    )
    keep_query_texts: bool = Field(
        True,
        description="Keep the words of what people searched for, to name them in reasons; false: vectors only, "
        "and such reasons are not given",
    )
    request_public_keys: str = Field(
        "",
        description="Ed25519 public keys, base64, with commas between: a request (`erase`, ..) has to be signed "
        "by one of them; none: whoever may write events may ask",
    )
    request_private_key: SecretStr | None = Field(
        None, description="Ed25519 private key, base64, by which `penchant serve` signs the requests that it sends"
    )
    receipt_private_key: SecretStr | None = Field(
        None, description="Ed25519 private key, base64, by which workers sign receipts; none: receipts are not signed"
    )

    pseudonym_keys: SecretStr | None = Field(
        None,
        description="Keys of pseudonyms, `NAME:BASE64,..`, the newest first: `penchant serve` and `replay "
        "--pseudonyms` then put pseudonyms in the place of the ids that they are given; none: ids stay as they are",
    )

    @field_validator("pseudonym_keys")
    @classmethod
    def _is_key_ring(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            KeyRing.parse(keys.get_secret_value())
        return keys

    @field_validator("request_public_keys")
    @classmethod
    def _are_public_keys(cls, keys: str) -> str:
        for key in filter(None, keys.split(",")):
            _check_key(key)
        return keys

    @property
    def trusted_requesters(self) -> list[str]:
        """Each key of `request_public_keys`."""
        return list(filter(None, self.request_public_keys.split(",")))

    @field_validator("receipt_private_key", "request_private_key")
    @classmethod
    def _is_private_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            _check_key(key.get_secret_value())
        return key


def _check_key(key: str) -> None:
    try:
        n_bytes = len(base64.b64decode(key, validate=True))
    except binascii.Error:
        n_bytes = 0
    if n_bytes != _KEY_BYTES:
        raise ValueError(f"an Ed25519 key is {_KEY_BYTES} bytes in base64: make a pair with `penchant keys signing`")

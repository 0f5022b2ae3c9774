"""What people may ask of whoever keeps their data, as records of the events topic under their own key: requests are
events of the person, so each has its place among them, whatever is read again.

A request is erased with the records around it when the topic's retention passes; nothing older than it is left by then.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stream.wire.records import MAX_ID_BYTES, Id, Time

RequestKind = Literal["erase", "restrict", "object", "release", "rectify"]
"""`erase`: as if the person had never been there. `restrict`: keep what there is, and do not use it. `object`: erase,
and keep no profile from now on. `release`: end of `restrict` or `object`. `rectify`: as if they had had nothing to do
with one item."""

REQUEST_KINDS: Final[tuple[RequestKind, ...]] = get_args(RequestKind)

REQUEST_FIELD: Final = b'"request"'
"""In the bytes of every request, and of few events."""


class PrivacyRequest(msgspec.Struct, frozen=True, gc=False):
    """One request of one person, on `interest.events` (key = user_id)."""

    user_id: Id
    request: RequestKind
    request_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
    """Names it in the receipt; chosen by whoever asks."""
    requested_at: Time | UnsetType = UNSET
    requester: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    """Who asked for it, for the receipt: `the person`, `support`, ..; no name is needed."""
    item_id: Id | UnsetType = UNSET
    """`rectify`: of which item."""
    signature: str | UnsetType = UNSET
    """Ed25519 over `signed_bytes`, base64; needed where the setting `request_public_keys` names keys."""


class StillHeld(msgspec.Struct, frozen=True, gc=False):
    """Where something of the person is until it goes by itself."""

    where: str
    why: str
    until_ms: int | None = None
    """None: for as long as the topic keeps it, or until somebody does what `why` says."""


class Receipt(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="receipt"):
    """What was done, on `interest.attributions` (key = request_id): without the person's id."""

    request_id: str
    request: RequestKind
    person: str
    """BLAKE2b-128 of `salt` and the user_id: whoever has the id can check that the receipt is theirs."""
    salt: str
    topic: str
    partition: int
    offset: int
    """Of the request: everything before it is done with, everything after it is new."""
    done_at: int
    requester: str
    removed: dict[str, int]
    """Numbers of what was deleted or taken out."""
    exact: bool
    """Whether all sums are those of a run in which the person never was, to rounding."""
    waiting: dict[str, list[str]]
    """Items (at most 100 each) whose rows are right only once they are made anew, by why."""
    still_held: tuple[StillHeld, ...]
    models: tuple[str, ...]
    """Learned models that may have been trained on what the person did: train them again."""
    signature: str | UnsetType = UNSET
    """Ed25519 over `signed_bytes`, base64."""
    schema_version: int = 1


_requests = msgspec.json.Decoder(PrivacyRequest)
_receipts = msgspec.json.Decoder(Receipt)


def read_request(value: bytes | None) -> PrivacyRequest | None:
    """The request in a record; None: it is none, or a broken one.

    What only looks like one is left to whoever decodes events, which says what is wrong with it.
    """
    if not value or REQUEST_FIELD not in value:
        return None
    try:
        request = _requests.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if (request.request == "rectify") != (request.item_id is not UNSET):
        return None
    ids = [request.user_id, *([] if request.item_id is UNSET else [str(request.item_id)])]
    return request if all(len(each.encode()) <= MAX_ID_BYTES for each in ids) else None


def read_receipt(value: bytes) -> Receipt:
    """A receipt.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: bytes that are none.
    """
    receipt: Receipt = _receipts.decode(value)
    return receipt


def signed_bytes(record: PrivacyRequest | Receipt) -> bytes:
    """What a signature is over: the record without it, as JSON with sorted keys."""
    return msgspec.json.encode(msgspec.structs.replace(record, signature=UNSET), order="sorted")

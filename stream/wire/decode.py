"""Bytes of the events topic -> `Event`, or `Rejected` with a reason. Pure; nothing here raises for bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from stream.wire.mending import (
    AMOUNT_MAX,
    INT64_MAX,
    INT64_MIN,
    Fields,
    Mended,
    broken_id,
    mend_event,
    mend_item,
    read_object,
)
from stream.wire.records import MAX_ID_BYTES, Event, Item, event_decoder, item_decoder
from stream.wire.times import parse_time_ms, published_ms

REASONS: tuple[str, ...] = (
    "empty",  # no value, or no bytes in it
    "too_large",  # more bytes than `message_max_bytes`
    "not_json",  # not UTF-8 JSON, or nested too deeply to be read
    "schema",  # JSON, but a required field is missing, has the wrong type or an unknown choice
    "no_item",  # the action needs an item_id
    "bad_id",  # an id is empty, longer than 128 bytes of UTF-8, or holds what is no character
    "key_mismatch",  # the record's key is not the id in its value
    "bad_time",  # a time that is no RFC 3339 string with an offset
    "time_out_of_bounds",  # before `event_time_earliest`, too far after the Kafka timestamp, or there is no time at all
)
"""Why a record of the events or items topic can be refused."""

QUARANTINED = "quarantined"
"""A good event whose user's stored state cannot be read; or no record, but a user whose list or its reasons cannot be made."""

UNREADABLE = "unreadable"
"""A record of an internal topic that cannot be read here, or of an item whose stored statistics cannot."""

BAD_SIGNATURE = "bad_signature"
"""A person's request that is not signed by a key of `request_public_keys`."""

LETTER_REASONS: tuple[str, ...] = (*REASONS, QUARANTINED, UNREADABLE, BAD_SIGNATURE)
"""Every code in the `reason` header of a dead letter, and of the metric `penchant_events_rejected_total`."""

MAX_DETAIL_CHARACTERS = 240
"""msgspec quotes the offending value, which may be nearly as long as the record; a header should not be."""

TIME_MIN_MS, TIME_MAX_MS = 1000, 2**32 * 1000 - 1
"""Event times that state can hold, whatever the limits say: seconds from 1 in 32 bits, so until February 2106."""

NO_TIMESTAMP_MS = -1
"""What Kafka says of a record without a timestamp."""

Record = TypeVar("Record", Event, Item)


class Rejected(NamedTuple):
    """Why a record was refused: a code from `REASONS` and one sentence for people, `MAX_DETAIL_CHARACTERS` at most."""

    reason: str
    detail: str


class DecodeLimits(NamedTuple):
    """The bounds a record must keep."""

    message_max_bytes: int
    earliest_ms: int
    max_ahead_ms: int
    latest_ms: int = TIME_MAX_MS
    """No event is later, whatever the record's Kafka timestamp says, which is the producer's to choose: the wall clock and
    `max_ahead_ms`, where records are read as they come."""

    def at(self, now_ms: int) -> DecodeLimits:
        """With the wall clock."""
        return self._replace(latest_ms=min(now_ms + self.max_ahead_ms, TIME_MAX_MS))


class DecodedEvent(NamedTuple):
    """An accepted event and its time, ms since the epoch."""

    event: Event
    event_time_ms: int
    mended: tuple[str, ...] = ()
    """Optional fields that were odd: mended or left out, see `stream.wire.mending`."""


class DecodedItem(NamedTuple):
    """An accepted item, and when it was published, ms since the epoch."""

    item: Item
    published_at_ms: int | None
    mended: tuple[str, ...] = ()


def decode_event(
    key: bytes | None, value: bytes | None, timestamp_ms: int, limits: DecodeLimits
) -> DecodedEvent | Rejected:
    """One record of the events topic. `timestamp_ms` is the Kafka record's, so that replay decides alike; one before
    `limits.earliest_ms` is none (-1 and 0, or seconds: producers write all of them).

    An accepted event can be encoded again, its ids are 1 to 128 bytes of UTF-8, and its numbers fit 64 bits. What is odd in
    an optional field costs that field at most.
    """
    read = _read(event_decoder, Event, mend_event, value, limits)
    if isinstance(read, Rejected):
        return read
    event, mended = read
    refused = _refuse_ids(key, event)
    if refused is not None:
        return refused
    time = event.event_time
    # The Kafka timestamp is the producer's to choose, so it bounds nothing by itself.
    earliest_ms = max(limits.earliest_ms, TIME_MIN_MS)
    has_timestamp = timestamp_ms >= earliest_ms
    latest_ms = min(limits.latest_ms, TIME_MAX_MS)
    if has_timestamp:
        latest_ms = min(timestamp_ms + limits.max_ahead_ms, latest_ms)
    if time is None and not has_timestamp:
        return Rejected("time_out_of_bounds", f"no event_time, and the Kafka timestamp {timestamp_ms} is none")
    time_ms = timestamp_ms if time is None else time if isinstance(time, int) else parse_time_ms(time)
    if time_ms is None:
        return Rejected("bad_time", f"event_time {str(time)[:64]!r} is no RFC 3339 time with an offset")
    if not earliest_ms <= time_ms <= latest_ms:
        said = time_ms if INT64_MIN <= time_ms <= INT64_MAX else "beyond 64 bits"
        return Rejected("time_out_of_bounds", f"event_time {said} is not within [{earliest_ms}, {latest_ms}] ms")
    return DecodedEvent(event, time_ms, mended)


def decode_item(key: bytes | None, value: bytes, limits: DecodeLimits) -> DecodedItem | Rejected:
    """One record of the items topic that is no tombstone."""
    read = _read(item_decoder, Item, mend_item, value, limits)
    if isinstance(read, Rejected):
        return read
    item, mended = read
    if not _fits(item.item_id):
        return Rejected("bad_id", f"item_id has more than {MAX_ID_BYTES} bytes")
    if key is None or key != item.item_id.encode():
        return Rejected("key_mismatch", "the record's key differs from item_id")
    if item.published_at is None:
        return DecodedItem(item, None, mended)
    published = published_ms(item.published_at)
    if published is None:
        mended = (*mended, "published_at")
        item = msgspec.structs.replace(item, published_at=None)
    return DecodedItem(item, published, mended)


def _read(
    decoder: msgspec.json.Decoder[Record],
    kind: type[Record],
    mend: Callable[[Fields], Mended],
    value: bytes | None,
    limits: DecodeLimits,
) -> tuple[Record, tuple[str, ...]] | Rejected:
    """The record and which of its fields were mended."""
    if not value:
        return Rejected("empty", "the record's value has no bytes")
    if len(value) > limits.message_max_bytes:
        return Rejected("too_large", f"{len(value)} bytes, more than {limits.message_max_bytes}")
    try:
        record = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refused = _undecodable(error)
    except RecursionError:  # msgspec recurses into fields it does not know, too
        refused = Rejected("not_json", "nested too deeply")
    else:
        return (record, ()) if _is_bounded(record) else _mended(kind, mend, value, _BEYOND_64_BITS)
    return _mended(kind, mend, value, refused)


def _mended(
    kind: type[Record], mend: Callable[[Fields], Mended], value: bytes, refused: Rejected
) -> tuple[Record, tuple[str, ...]] | Rejected:
    """A record that is good but for optional fields; else why it was `refused`, or the better reason."""
    fields = read_object(value)
    if fields is None:
        return refused
    fields, mended = mend(fields)
    broken = broken_id(fields, ("user_id", "item_id"))
    if broken is not None:
        return Rejected("bad_id", f"{broken} holds half of a character: {ascii(fields[broken])[:64]}")
    known = {name: fields[name] for name in kind.__struct_fields__ if name in fields}
    try:
        return msgspec.convert(known, kind), mended
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError) as error:
        return _undecodable(error)


_BEYOND_64_BITS = Rejected("schema", "Integer value out of range")


def _is_bounded(record: object) -> bool:
    """Whether the numbers are such as can be kept and added up."""
    if isinstance(record, Item):
        return record.price is None or abs(record.price) <= AMOUNT_MAX
    return not isinstance(record, Event) or (
        (record.dwell_ms is None or record.dwell_ms <= INT64_MAX)
        and (record.slot is None or INT64_MIN <= record.slot <= INT64_MAX)
        and (record.value is None or abs(record.value) <= AMOUNT_MAX)
    )


def _undecodable(error: Exception) -> Rejected:
    """What msgspec raises, as a reason. It knows no `NaN` and refuses `1e999`, so every number read is finite."""
    detail = str(error).encode(errors="backslashreplace").decode()
    if len(detail) > MAX_DETAIL_CHARACTERS:  # the path to the field stands at the end
        detail = f"{detail[: MAX_DETAIL_CHARACTERS // 2]}...{detail[-(MAX_DETAIL_CHARACTERS // 4) :]}"
    if not isinstance(error, msgspec.ValidationError | UnicodeEncodeError | OverflowError):
        return Rejected("not_json", detail)
    wrong_length = " of length " in detail and detail.endswith(("`$.user_id`", "`$.item_id`"))
    return Rejected("bad_id" if wrong_length else "schema", detail)


def _refuse_ids(key: bytes | None, event: Event) -> Rejected | None:
    if not _fits(event.user_id):
        return Rejected("bad_id", f"user_id has more than {MAX_ID_BYTES} bytes")
    if event.item_id is None:
        if event.action != "query":
            return Rejected("no_item", f"action {event.action!r} needs an item_id")
    elif not _fits(event.item_id):
        return Rejected("bad_id", f"item_id has more than {MAX_ID_BYTES} bytes")
    if key is not None and key != event.user_id.encode():
        return Rejected("key_mismatch", "the record's key differs from user_id")
    return None


def _fits(text: str) -> bool:
    """A character takes at most 4 bytes, so most ids need no encoding to be known short enough."""
    return len(text) <= MAX_ID_BYTES // 4 or len(text.encode()) <= MAX_ID_BYTES

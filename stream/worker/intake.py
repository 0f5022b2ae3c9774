"""One chunk of the events topic -> columns for the state update, and the records that must go elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter, eq
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.hashing import query_hash
from models.items.names import ItemNames
from models.vocabulary import ACTIONS, PURCHASE, REFUND
from stream.kafka.engine.bounded_batches import unread_batch
from stream.outcomes.crediting import Referrals
from stream.state.record import dwell_code
from stream.state.update import EventColumns
from stream.wire.codes import context_bucket, event_id_hash, list_id_of
from stream.wire.decode import (
    NO_TIMESTAMP_MS,
    TIME_MAX_MS,
    TIME_MIN_MS,
    DecodedEvent,
    DecodeLimits,
    Rejected,
    decode_event,
)
from stream.wire.mending import AMOUNT_MAX, INT64_MAX, INT64_MIN
from stream.wire.records import MAX_ID_BYTES, Event, event_decoder
from stream.wire.requests import PrivacyRequest, read_request
from stream.wire.times import parse_time_ms

_RECOMMENDATION_ID, _VALUE = attrgetter("recommendation_id"), attrgetter("value")
_ACTION_CODE = {action: code for code, action in enumerate(ACTIONS)}


class DeadLetter(NamedTuple):
    """A record for the dead-letter topic."""

    record: Any
    why: Rejected


class Intake(NamedTuple):
    """What is in a chunk. `keys`, `timestamp_ms` and the columns describe the same n accepted events."""

    keys: list[bytes]
    """User ids."""
    columns: EventColumns
    """As `read_chunk` makes them with row = 0 everywhere: the rows are the overlay's to give, in `Tracker.read`."""
    timestamp_ms: NDArray[np.int64]
    """Kafka timestamps; `NO_TIMESTAMP_MS` where a record has none."""
    refused: list[DeadLetter]
    keyless: list[tuple[Any, Event]]
    """Good events without a key, or in a partition that is not their key's: to be produced again, so that they reach the
    user's."""
    actions: Counter[str]
    queries: list[tuple[bytes, str]]
    """`(user_id, text)` of accepted queries."""
    referrals: Referrals
    """Of the accepted events."""
    mended: Counter[str]
    """Odd optional fields of accepted events, keyless ones too, by name."""
    requests: list[tuple[Any, PrivacyRequest]] = []  # noqa: RUF012  (never changed in place)
    """Records that are no events but requests of people, in offset order."""

    def refusing(self, unwanted: NDArray[np.bool_], records: Sequence[Any], why: Rejected) -> Intake:
        """Without the accepted events that are `unwanted` (n,), which are refused; `records` are those of the chunk."""
        at = {record.offset: record for record in records}
        refused = [DeadLetter(at[offset], why) for offset in self.columns.offset[unwanted].tolist()]
        return self.without(unwanted)._replace(refused=self.refused + refused)

    def moving(self, foreign: NDArray[np.bool_], records: Sequence[Any], limits: DecodeLimits) -> Intake:
        """The accepted events that are `foreign` (n,) in this partition go where their keys say."""
        at = {record.offset: record for record in records}
        moved = [at[offset] for offset in self.columns.offset[foreign].tolist()]
        decoded = [(r, decode_event(r.key, r.value, r.timestamp, limits)) for r in moved]
        events = [(record, each.event) for record, each in decoded if not isinstance(each, Rejected)]
        return self.without(foreign)._replace(keyless=self.keyless + events)

    def without(self, unwanted: NDArray[np.bool_]) -> Intake:
        """The accepted events but these (n,)."""
        kept = ~unwanted
        users = {self.keys[i] for i in np.flatnonzero(unwanted).tolist()}
        counts = np.bincount(self.columns.action[kept], minlength=len(ACTIONS)).tolist()
        return self._replace(
            keys=[self.keys[i] for i in np.flatnonzero(kept).tolist()],
            columns=self.columns.take(kept),
            timestamp_ms=self.timestamp_ms[kept],
            actions=Counter({str(a): count for a, count in zip(ACTIONS, counts, strict=True) if count}),
            queries=[(user, text) for user, text in self.queries if user not in users],
            referrals=self.referrals.take(kept),
        )


def read_chunk(records: Sequence[Any], limits: DecodeLimits, names: ItemNames) -> Intake:
    """Decode every record of a chunk; a bad one never costs another.

    Column by column: an event of the usual kind is known to be good by comparisons of whole columns, and costs no Python of
    its own but its decoding. Every other goes through `decode_event`, which decides.
    """
    n = len(records)
    keys = [record.key for record in records]
    values = [record.value for record in records]
    offset = np.fromiter([record.offset for record in records], np.int64, n)
    timestamp = np.fromiter([record.timestamp for record in records], np.int64, n)
    events = _decode_all(values)
    users = [event.user_id for event in events]
    items = [event.item_id or "" for event in events]
    plain = np.fromiter(map(eq, map(str.encode, users), keys), bool, n)
    plain &= _is_short(users, n) & _is_short(items, n)
    plain &= np.fromiter([len(value or b"") for value in values], np.int64, n) <= limits.message_max_bytes
    time, fits = _int64([event.event_time for event in events], timestamp, parse_time_ms)
    earliest_ms = max(limits.earliest_ms, TIME_MIN_MS)
    has_timestamp = timestamp >= earliest_ms
    ahead = np.minimum(timestamp, TIME_MAX_MS - limits.max_ahead_ms) + limits.max_ahead_ms
    latest_ms = min(limits.latest_ms, TIME_MAX_MS)
    plain &= fits & (time >= earliest_ms) & (time <= np.where(has_timestamp, np.minimum(ahead, latest_ms), latest_ms))
    zeros = np.zeros(n, np.int64)
    dwell, fits = _int64([event.dwell_ms for event in events], zeros)
    plain &= fits
    slot, fits = _int64([event.slot for event in events], zeros)
    plain &= fits
    value = _values(list(map(_VALUE, events)))
    plain &= ~(np.abs(value) > AMOUNT_MAX)  # NaN is none
    odd = _decide([(i, records[i]) for i in np.flatnonzero(~plain).tolist()], limits)
    hash_of_query: dict[int, int] = {}
    for i, (event, time_ms, _) in odd.good.items():
        plain[i], events[i], items[i], time[i] = True, event, event.item_id or "", time_ms
        dwell[i], slot[i] = event.dwell_ms or 0, event.slot or 0
        if event.item_id is None:
            hash_of_query[i] = query_hash(event.text or "")
    wanted = plain.copy()
    wanted[list(hash_of_query)] = False
    columns = EventColumns(
        row=zeros,
        offset=offset,
        time_ms=time,
        item=np.fromiter(names.hashes_of(items, wanted), np.uint64, n),
        action=np.fromiter([_ACTION_CODE[event.action] for event in events], np.uint8, n),
        context=_codes([event.context for event in events], context_bucket).astype(np.uint8),
        dwell=dwell_code(dwell),
        event_id=_codes([event.event_id for event in events], event_id_hash).astype(np.uint32),
        slot=np.clip(slot, 0, 255).astype(np.uint8),
    )
    for i, hashed in hash_of_query.items():
        columns.item[i] = hashed
    for i, (event, _, _) in odd.good.items():
        value[i] = np.nan if event.value is None else event.value
    referrals = Referrals(_list_ids(list(map(_RECOMMENDATION_ID, events))), value)
    # A shop's cancellation is often a purchase of a negative quantity.
    columns.action[(columns.action == PURCHASE) & (referrals.value < 0.0)] = REFUND
    if not plain.all():
        columns, timestamp, referrals = columns.take(plain), timestamp[plain], referrals.take(plain)
        keys = [keys[i] for i in np.flatnonzero(plain).tolist()]
    timestamp = np.where(timestamp >= earliest_ms, timestamp, NO_TIMESTAMP_MS)
    counts = np.bincount(columns.action, minlength=len(ACTIONS)).tolist()
    actions: Counter[str] = Counter({str(a): count for a, count in zip(ACTIONS, counts, strict=True) if count})
    return Intake(
        keys,
        columns,
        timestamp,
        odd.refused,
        odd.keyless,
        actions,
        odd.queries,
        referrals,
        Counter(odd.mended),
        odd.requests,
    )


class _Odd(NamedTuple):
    """What becomes of the records that no comparison of columns knows to be good."""

    good: dict[int, DecodedEvent]
    refused: list[DeadLetter]
    keyless: list[tuple[Any, Event]]
    queries: list[tuple[bytes, str]]
    mended: list[str]
    requests: list[tuple[Any, PrivacyRequest]]


def _decide(records: list[tuple[int, Any]], limits: DecodeLimits) -> _Odd:
    """One by one; `records` with their places in the chunk."""
    odd = _Odd({}, [], [], [], [], [])
    for i, record in records:
        if (request := read_request(record.value)) is not None:
            odd.requests.append((record, request))
            continue
        decoded = decode_event(record.key, record.value, record.timestamp, limits)
        if isinstance(decoded, Rejected):
            why = unread_batch(record)
            odd.refused.append(DeadLetter(record, decoded if why is None else Rejected("too_large", why)))
            continue
        event = decoded.event
        odd.mended.extend(decoded.mended)
        if record.key is None:
            odd.keyless.append((record, event))
            continue
        odd.good[i] = decoded
        if event.item_id is None and event.text:
            odd.queries.append((record.key, event.text))
    return odd


_UNREAD = Event(user_id="", action="view")
"""Stands for a value that could not be decoded."""


def _decode_all(values: Sequence[bytes | None]) -> list[Event]:
    """An event per value, `_UNREAD` where there is none in it."""
    events: list[Event] = []
    decoding = map(event_decoder.decode, values)  # type: ignore[arg-type]  # None is a TypeError, caught below
    while len(events) < len(values):
        try:
            events.extend(decoding)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            events.append(_UNREAD)
    return events


def _is_short(texts: list[str], n: int) -> NDArray[np.bool_]:
    """Whether each text has 1 to so many characters that they cannot be too many bytes."""
    length = np.fromiter(map(len, texts), np.int64, n)
    return (length > 0) & (length <= MAX_ID_BYTES // 4)


def _int64(
    values: list[Any], default: NDArray[np.int64], parse: Callable[[str], int | None] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`(numbers, fits)`, `(n,)` each: integers as they are, texts parsed, None as `default`; nothing else fits."""
    n, kinds = len(values), set(map(type, values))
    if kinds <= {_NONE}:
        return default.copy(), np.ones(n, bool)
    if kinds == {int}:
        try:
            return np.fromiter(values, np.int64, n), np.ones(n, bool)
        except OverflowError:
            pass
    numbers, fits = default.copy(), np.ones(n, bool)
    for i, value in enumerate(values):
        if value is not None:
            number = value if isinstance(value, int) else parse(value) if parse is not None else None
            fits[i] = number is not None and INT64_MIN <= number <= INT64_MAX
            numbers[i] = number if number is not None and fits[i] else 0
    return numbers, fits


_NONE = type(None)


def _codes(values: list[Any], code_of: Callable[[Any], int]) -> NDArray[np.int64]:
    """`code_of` each value that is there, 0 for the others."""
    if values.count(None) == len(values):
        return np.zeros(len(values), np.int64)
    return np.fromiter([code_of(value) if value else 0 for value in values], np.int64, len(values))


def _values(values: list[float | None]) -> NDArray[np.float64]:
    """(n,) float64, NaN for None."""
    if values.count(None) == len(values):
        return np.full(len(values), np.nan)
    return np.array(values, np.float64)


def _list_ids(texts: list[str | None]) -> NDArray[np.uint64]:
    """(n, 2) uint64 of recommendation ids; 0, 0 for none."""
    if texts.count(None) == len(texts):
        return np.zeros((len(texts), 2), np.uint64)
    return np.array([list_id_of(text) if text else (0, 0) for text in texts], np.uint64)

"""What is given arbitrary bytes: each target reads them as the product does, and says nothing if all is well.

A target may raise only what the product's contract names; whatever else escapes is a finding. Beyond that each asserts what
must hold: two ways of reading agree, and what was read and written again is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Final, NamedTuple

import msgspec
import numpy as np
from places import GOLDEN

from models.items.names import ItemNames
from models.items.record import pack_deltas, pack_records, unpack_deltas, unpack_records, unreadable
from stream.dead_letters.letter import letter_of, why_no_record
from stream.dead_letters.listing import line_of
from stream.errors import CorruptStateError, UsageError
from stream.rules.conditions import parse
from stream.rules.rule import from_json, to_json
from stream.state import contributions
from stream.state.ledger import Ledgers
from stream.state.log_mark import read_log, read_meant
from stream.state.owed import read_mark
from stream.state.record import NEVER, States, pack, unpack
from stream.state.standing import read_standing
from stream.state.told import read_told
from stream.wire.decode import DecodedItem, DecodeLimits, Rejected, decode_event, decode_item
from stream.wire.records import read_attribution
from stream.wire.requests import read_receipt, read_request, signed_bytes
from stream.worker.intake import read_chunk

LIMITS: Final = DecodeLimits(1_000_000, 0, 86_400_000)
NOW_MS: Final = 1_760_000_000_000
ROW: Final = np.array([0])
_names = ItemNames()
_states, _ledgers = States(1), Ledgers(1)


class Target(NamedTuple):
    """What reads the bytes, and inputs to begin with."""

    read: Callable[[bytes], object]
    seeds: Sequence[bytes]


def event(data: bytes) -> None:
    """A record of the events topic, alone and in a chunk: both decide alike."""
    key, _, value = data.partition(b"\0")
    record = SimpleNamespace(key=key, value=value, offset=5, timestamp=NOW_MS, partition=0, headers=())
    alone = decode_event(key, value, NOW_MS, LIMITS)
    chunk = read_chunk([record], LIMITS, _names)
    assert (len(chunk.refused) + len(chunk.requests) == 1) == isinstance(alone, Rejected), (alone, chunk)


def request(data: bytes) -> None:
    """What a person asks for, or what is said of it; what is read can be signed and written again."""
    found = read_request(data)
    if found is not None:
        assert read_request(msgspec.json.encode(found)) == found
        signed_bytes(found)
    try:
        read_receipt(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return


def added(data: bytes) -> None:
    """What a person has added, packed: refused, or written again to the same, and good to be taken out."""
    try:
        found = contributions.unpack(data)
    except CorruptStateError:
        return
    assert contributions.pack(found)[2:] == data[2:]
    contributions.withdrawn([found], 64)


def item(data: bytes) -> None:
    """A record of the catalogue."""
    key, _, value = data.partition(b"\0")
    found = decode_item(key, value, LIMITS)
    assert isinstance(found, DecodedItem | Rejected)


def state(data: bytes) -> None:
    """A person's packed state: refused, or read and packed again to what is read as the same."""
    try:
        unpack(_states, ROW, [data])
    except CorruptStateError:
        return
    (again,) = pack(_states, ROW)
    for name, column in zip(_states.columns._fields, _states.columns, strict=True):
        column[0] = np.zeros((), column.dtype) if name != "fence" else NEVER
    unpack(_states, ROW, [again])
    assert pack(_states, ROW) == [again]
    for name, column in zip(_states.columns._fields, _states.columns, strict=True):
        column[0] = np.zeros((), column.dtype) if name != "fence" else NEVER


def ledger(data: bytes) -> None:
    """What a person was shown, packed."""
    try:
        _ledgers.unpack(ROW, [data])
    except CorruptStateError:
        return
    (again,) = _ledgers.pack(ROW)
    _ledgers.unpack(ROW, [again])
    assert _ledgers.pack(ROW) == [again]


def deltas(data: bytes) -> None:
    """What an event adds to an item."""
    if unreadable([data], deltas=True):
        return
    columns = unpack_deltas([data])
    assert len(pack_deltas(columns)) == 1


def statistics(data: bytes) -> None:
    """What is known of an item."""
    if unreadable([data], deltas=False):
        return
    assert len(pack_records(unpack_records([data]))) == 1


def letter(data: bytes) -> None:
    """A record of the dead-letter topic: headers of any kind."""
    parts = data.split(b"\0")
    headers = [(parts[i].decode(errors="replace"), parts[i + 1]) for i in range(0, len(parts) - 2, 2)]
    message = SimpleNamespace(
        headers=lambda: headers, partition=lambda: 0, offset=lambda: 1, timestamp=lambda: (1, NOW_MS), key=lambda: None,
        value=lambda: parts[-1],
    )  # fmt: skip
    found = letter_of(message)
    if found is not None:
        assert len(found.identity) > 0
        line_of(found, was_replayed=False)
        why_no_record(found)


def rule(data: bytes) -> None:
    """A rule of the topic, with its condition."""
    try:
        found = from_json("x", data)
    except UsageError:
        return
    assert from_json("x", to_json(found)) == found


def condition(data: bytes) -> None:
    """A condition over the catalogue, in SQL."""
    try:
        parse("x", data.decode(errors="replace"))
    except UsageError:
        return


def marks(data: bytes) -> None:
    """Small records beside the states."""
    for read in (read_mark, read_told, read_log, read_meant, read_standing):
        try:
            read(data)
        except CorruptStateError:
            continue


def reasons(data: bytes) -> None:
    """A record of the attributions topic."""
    try:
        read_attribution(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return


def _hex(*names: str) -> list[bytes]:
    return [bytes.fromhex("".join((GOLDEN / name).read_text().split())) for name in names]


def _json(*names: str, key: bytes = b"") -> list[bytes]:
    return [key + (GOLDEN / name).read_bytes() for name in names]


EVENTS = ("event-v1-full.json", "event-v1-minimal.json", "event-v1-query.json", "event-v1-unknown-fields.json")
TARGETS: Final = {
    "event": Target(event, _json(*EVENTS, key=b"u1\0")),
    "request": Target(
        request, [b'{"user_id":"u1","request":"rectify","request_id":"r1","item_id":"i1","requested_at":1}']
    ),
    "added": Target(added, _hex("contributions_v1.hex")),
    "item": Target(item, _json("item-v1-full.json", "item-v1-minimal.json", key=b"i1\0")),
    "state": Target(state, _hex("state-v1.hex")),
    "ledger": Target(ledger, Ledgers(1).pack(ROW)),
    "deltas": Target(deltas, _hex("item_delta_v1.hex", "item_delta_v2.hex", "item_delta_v3.hex")),
    "statistics": Target(statistics, _hex("item_record_v1.hex", "item_record_v2.hex", "item_record_v3.hex")),
    "letter": Target(letter, [b"reason\0bad_json\0topic\0events\0partition\0001\0offset\0007\0header.x\0y\0{}"]),
    "rule": Target(
        rule, [b'{"kind":"deny","where":"price > 9"}', b'{"kind":"boost","by":0.5,"where":"brand = \'a\'"}']
    ),
    "condition": Target(condition, [b"price > 9 AND brand IN ('a', 'b')", b"title LIKE '%x%' OR NOT stock"]),
    "marks": Target(marks, _hex("owed_mark_v1.hex", "told_mark_v1.hex", "log_mark_v1.hex", "standing_mark_v1.hex")),
    "reasons": Target(reasons, _json("attribution-reasons-v2.json", "attribution-outcome-v1.json")),
}

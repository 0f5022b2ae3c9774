"""One chunk of the events topic -> columns for the state update, and the records that must go elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.hashing import item_hash
from stream.decode import DecodedEvent, DecodeLimits, Rejected, decode_event
from stream.events import ACTIONS, Event
from stream.names import ItemNames
from stream.state import dwell_code
from stream.update import EventColumns

_ACTION_CODE = {action: code for code, action in enumerate(ACTIONS)}


class Refused(NamedTuple):
    """A record for the dead-letter topic."""

    record: Any
    why: Rejected


class Intake(NamedTuple):
    """What is in a chunk. `keys`, `timestamp_ms` and the columns describe the same n accepted events."""

    keys: list[bytes]
    """User ids."""
    columns: EventColumns
    """With row = 0 everywhere: the rows are the overlay's to give."""
    timestamp_ms: NDArray[np.int64]
    """Kafka timestamps."""
    refused: list[Refused]
    keyless: list[tuple[Any, Event]]
    """Good events without a key: to be produced again with one, since their partition need not be the user's."""
    actions: Counter[str]


def read_chunk(records: Sequence[Any], limits: DecodeLimits, names: ItemNames) -> Intake:
    """Decode every record of a chunk; a bad one never costs another."""
    keys: list[bytes] = []
    rows: list[tuple[int, int, int, int, int, int, int, int, int]] = []
    refused: list[Refused] = []
    keyless: list[tuple[Any, Event]] = []
    actions: Counter[str] = Counter()
    hash_of = names.hash_of
    for record in records:
        decoded = decode_event(record.key, record.value, record.timestamp, limits)
        if type(decoded) is not DecodedEvent:
            refused.append(Refused(record, decoded))  # type: ignore[arg-type]
            continue
        event, time_ms = decoded
        if record.key is None:
            keyless.append((record, event))
            continue
        keys.append(record.key)
        actions[event.action] += 1
        rows.append(
            (
                record.offset,
                record.timestamp,
                time_ms,
                hash_of(event.item_id) if event.item_id is not None else query_hash(event.text or ""),
                _ACTION_CODE[event.action],
                context_bucket(event.context) if event.context else 0,
                event.dwell_ms or 0,
                event_id_hash(event.event_id) if event.event_id else 0,
                min(max(event.slot or 0, 0), 255),
            )
        )
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * 9
    offset, timestamp, time, item, action, context, dwell, event_id, slot = columns
    return Intake(
        keys,
        EventColumns(
            row=np.zeros(len(rows), np.int64),
            offset=np.array(offset, np.int64),
            time_ms=np.array(time, np.int64),
            item=np.array(item, np.uint64),
            action=np.array(action, np.uint8),
            context=np.array(context, np.uint8),
            dwell=dwell_code(np.array(dwell, np.int64)),
            event_id=np.array(event_id, np.uint32),
            slot=np.array(slot, np.uint8),
        ),
        np.array(timestamp, np.int64),
        refused,
        keyless,
        actions,
    )


def query_hash(text: str) -> int:
    """Hash of a query's text, in a space of its own so that it never meets an item id."""
    return item_hash("\x00query\x00" + text)


def context_bucket(context: dict[str, str]) -> int:
    """1 to 7 for a device, place and scene; the ring stores three bits of it."""
    described = "\x00".join(context.get(name, "") for name in ("device", "place", "scene"))
    return crc32(described.encode()) % 7 + 1


def event_id_hash(event_id: str) -> int:
    """24 bits of an event id, never 0. Compared only between behaviours of one user on one item with one action."""
    return crc32(event_id.encode()) & 0xFFFFFF or 1

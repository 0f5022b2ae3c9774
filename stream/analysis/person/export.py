"""All that is held of one person, for them to read: from the topics, as they are now."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from models.hashing import item_hash
from models.vocabulary import ACTIONS, STRATEGIES
from stream.kafka.read_to_end import Record, read_to_end
from stream.outcomes.strategy_totals import NUMBERS
from stream.settings import Settings
from stream.state import contributions
from stream.state.contributions import CLOSED_PREFIX, CONTEXT_MASK, COUNTED, ENTRY, OPEN_PREFIX, Contributions
from stream.state.edits import remembered
from stream.state.ledger import LEDGER_PREFIX, Ledgers
from stream.state.owed import OWED_PREFIX
from stream.state.record import POINTS, States
from stream.state.standing import STANDING_PREFIX, read_standing

FIELDS: Final[dict[str, str]] = {
    "standing": "what you have asked for that holds now (restricted, objecting)",
    "since_ms": "time of the first thing that is remembered of you; all times are milliseconds since 1970-01-01 UTC",
    "last_ms": "time of the newest one",
    "events": "how many of your events have been used in all",
    "behaviours": "what you did, the 64 newest: it decides what is recommended to you",
    "shown": "items that you were shown lately",
    "long_lived": "items of older behaviours, with how strong they still count",
    "habits": "how older behaviours divide among hours of the day (4), days of the week (7) and contexts (4); the "
    "last is their sum",
    "bought": "first 16 bits of the hashes of older purchases and dislikes, so that they are not recommended again",
    "lists": "the last lists made for you, with ids and places",
    "touches": "items of lists that you saw",
    "purchases": "your last purchases, and which lists were credited",
    "added": "what you have added to statistics of items and strategies that concern everybody; taken out again by erasing",
    "recommendations": "the lists that stand published for you",
    "attributions": "the reasons and outcomes that were published of you and are still kept",
    "events_kept": "your events as they were sent, as far as the topic still keeps them",
    "refused": "your events that could not be used and are kept among the dead letters",
}
"""What the fields of an export mean."""


class Export(NamedTuple):
    """What is held of a person."""

    held: dict[str, Any]
    """As JSON."""
    tables: dict[str, str]
    """CSV by name."""

    @property
    def is_empty(self) -> bool:
        """Nothing is held."""
        return not any(value for name, value in self.held.items() if name not in ("user_id", "fields"))


def export_person(settings: Settings, user_id: str, on_topic: Callable[[str], None] = lambda _: None) -> Export:
    """Read everything of a person; `on_topic` is told what is being read.

    Raises:
        TopicsError, BrokerUnreachableError: a topic is missing, or no broker answers.
        CorruptStateError: what is stored cannot be read.
    """
    user = user_id.encode()

    def records(topic: str) -> Iterable[Record]:
        on_topic(topic)
        for batch in read_to_end(settings, topic):
            yield from batch

    stored = _stored(records(settings.changelog_topic), user)
    names = {item_hash(key): key for key in _item_ids(records(settings.topic_items))}
    events = [r for r in records(settings.topic_events) if r.key == user]
    names |= {item_hash(item): item for r in events if (item := _field(r.value, "item_id"))}
    held: dict[str, Any] = {"user_id": user_id, "fields": FIELDS, **_of_states(stored, user, names)}
    held["recommendations"] = {}
    for topic in (settings.topic_recommendations, *settings.placement_topics().values()):
        values = [r.value for r in records(topic) if r.key == user]
        if values and values[-1] is not None:
            held["recommendations"][topic] = _json(values[-1])
    held["attributions"] = [
        _json(r.value) for r in records(settings.topic_attributions) if _field(r.value, "user_id") == user_id
    ]
    held["events_kept"] = [{"offset": r.offset, **_json(r.value)} for r in events]
    held["refused"] = [_json(r.value) for r in records(settings.topic_dead_letter) if r.key == user]
    return Export(held, {name: _csv(held[name]) for name in ("behaviours", "shown", "events_kept") if held.get(name)})


def _stored(records: Iterable[Record], user: bytes) -> dict[bytes, bytes]:
    ours = {user, *(prefix + user for prefix in (LEDGER_PREFIX, OWED_PREFIX, OPEN_PREFIX, STANDING_PREFIX))}
    found: dict[bytes, bytes] = {}
    closed = CLOSED_PREFIX + bytes([len(user)]) + user
    for record in records:
        if record.key is None or not (record.key in ours or record.key.startswith(closed)):
            continue
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record.value
    return found


def _item_ids(records: Iterable[Record]) -> set[str]:
    return {record.key.decode(errors="replace") for record in records if record.key}


def _of_states(stored: Mapping[bytes, bytes], user: bytes, names: Mapping[int, str]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    if (value := stored.get(STANDING_PREFIX + user)) is not None:
        standing = read_standing(value)
        held["standing"] = {"kind": standing.kind, "since_ms": standing.since_ms}
    if (value := stored.get(user)) is not None:
        held |= _of_state(value, names)
    if (value := stored.get(LEDGER_PREFIX + user)) is not None:
        held |= _of_ledger(value, names)
    closed = sorted(key for key in stored if key.startswith(CLOSED_PREFIX))
    keys = [*closed, *([OPEN_PREFIX + user] if OPEN_PREFIX + user in stored else [])]
    if keys:
        held["added"] = _of_contributions([contributions.unpack(stored[key]) for key in keys], names)
    return held


def _of_state(value: bytes, names: Mapping[int, str]) -> dict[str, Any]:
    states = States(1)
    states.unpack(np.zeros(1, np.int64), [value])
    c = states.columns
    short = {hashed >> 32: name for hashed, name in names.items()}
    return {
        "since_ms": 1000 * int(c.first_s[0]),
        "last_ms": int(c.last_ms[0]),
        "events": int(c.events[0]),
        "behaviours": [
            {
                "item": _name(names, each.item),
                "action": ACTIONS[each.action],
                "time_ms": each.time_ms,
                "context": each.context,
                "dwell_ms": round(each.dwell_ms),
            }
            for each in remembered(states)
        ],
        "shown": [
            {
                "item": _name(short, int(c.exposed_item[0, k])),
                "time_ms": 1000 * int(c.exposed_s[0, k]),
                "place": int(c.exposed_slot[0, k]),
            }
            for k in range(min(int(c.n_exposures[0]), c.exposed_item.shape[1]))
        ],
        "long_lived": [
            {
                "item": _name(names, int(p["item"])),
                "long": float(p["long"]),
                "short": float(p["short"]),
                "count": int(p["count"]),
            }
            for p in c.point[0, : min(int(c.n_points[0]), POINTS)]
        ],
        "habits": [float(x) for x in c.histogram[0]] if int(c.older_s[0]) else [],
        "bought": [int(x) for x in c.bought[0, : min(int(c.n_bought[0]), c.bought.shape[1])]],
    }


def _of_ledger(value: bytes, names: Mapping[int, str]) -> dict[str, Any]:
    ledgers = Ledgers(1)
    ledgers.unpack(np.zeros(1, np.int64), [value])
    c, short = ledgers.columns, {hashed >> 32: name for hashed, name in names.items()}
    lists = [
        {
            "recommendation_id": _list_id(c.lists[0, k]),
            "time_ms": int(c.lists[0, k]["ms"]),
            "items": [_name(short, int(p["item"])) for p in c.places[0, k] if p["propensity"] > 0],
        }
        for k in range(int(c.n_lists[0]))
    ]
    touches = [
        {
            "item": _name(short, int(t["item"])),
            "recommendation_id": _list_id(t),
            "time_ms": int(t["ms"]),
            "strategy": STRATEGIES[int(t["strategy"])],
        }
        for t in c.touches[0, : int(c.n_touches[0])]
    ]
    purchases = [
        {
            "item": _name(short, int(p["item"])),
            "time_ms": int(p["ms"]),
            "value": None if np.isnan(p["value"]) else float(p["value"]),
        }
        for p in c.purchases[0, : int(c.n_purchases[0])]
    ]
    return {"lists": lists, "touches": touches, "purchases": purchases}


def _of_contributions(records: list[Contributions], names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "engagements": [
            {
                "item": _name(names, int(e["item"])),
                "time_ms": int(e["ms"]),
                "context": int(e["bits"] & CONTEXT_MASK),
                "first_of_all": bool(e["bits"] & ENTRY),
                "counts": bool(e["bits"] & COUNTED),
                "items_before": int(e["before"]),
            }
            for record in records
            for e in record.engagements
        ],
        "exposures_and_clicks": [
            {"item": _name(names, int(s["item"])), "clicked": bool(s["clicked"])}
            for record in records
            for s in record.seen
        ],
        "strategies": [
            {
                "strategy": STRATEGIES[int(e["strategy"])],
                "place": int(e["slot"]),
                "context": int(e["context"]),
                "number": NUMBERS[int(e["number"])],
                "amount": float(e["amount"]),
            }
            for record in records
            for e in record.earned
        ],
    }


def _name(names: Mapping[int, str], hashed: int) -> str:
    return names.get(hashed, f"hash {hashed:x}")


def _list_id(of: Any) -> str:
    return f"{int(of['id0']):016x}{int(of['id1']):016x}"


def _json(value: bytes | None) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"bytes": (value or b"").decode(errors="backslashreplace")}
    return found if isinstance(found, dict) else {"value": found}


def _field(value: bytes | None, name: str) -> str | None:
    found = _json(value).get(name)
    return found if isinstance(found, str) else None


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

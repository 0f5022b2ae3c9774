"""Records as aiokafka hands them over, and garbage that a topic may hold."""

from __future__ import annotations

import json
from typing import NamedTuple

from hypothesis import strategies as st

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Record(NamedTuple):
    """The fields of aiokafka's `ConsumerRecord` that are read."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = NOW_MS
    topic: str = "interest.events"
    partition: int = 0
    headers: tuple = ()


def event_record(offset, user="u", key="", timestamp=NOW_MS, **fields):
    """A good event; `key` other than the default replaces the user's."""
    value = json.dumps({"user_id": user, "action": "view", "item_id": "i"} | fields).encode()
    return Record(offset, user.encode() if key == "" else key, value, timestamp)


def is_no_object(value: bytes) -> bool:
    """Whether no JSON object can be read from the bytes."""
    try:
        return not isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return True


garbage_values = (
    st.none()
    | st.binary(max_size=60).filter(is_no_object)
    | st.sampled_from(
        [
            b"",
            b"{}",
            b"[" * 5000,
            b'{"user_id":"u","action":"view","item_id":"i","deep":' + b"[" * 100_000,
            b"\x00\x00\x00\x00\x01avro",
            b'{"user_id":"u"}',
            b'{"user_id":"u","action":"smell","item_id":"i"}',
            b'{"user_id":"u","action":"view"}',
            b'{"user_id":"","action":"view","item_id":"i"}',
            b'{"user_id":"u","action":"view","item_id":"%s"}' % (b"i" * 129),
            b'{"user_id":"u","action":"view","item_id":"i","event_time":"yesterday"}',
            b'{"user_id":"u","action":"view","item_id":"i","event_time":99999999999999999999999}',
            b'{"user_id":"u","action":"view","item_id":"i","event_time":-1}',
            b'{"user_id":"u","action":"view","item_id":"\\ud800"}',
            b'{"user_id":"u","action":"view","item_id":"i"} trailing',
        ]
    )
)
"""Values no event can be read from, whatever the key ("u" or none)."""

"""Events and a catalogue for workers on Apache Kafka, and what must hold afterwards."""

from __future__ import annotations

import json
import random
from typing import Any

from worker_process import Topics, WorkerProcess

from stream.wire.records import recommendation_decoder


def catalogue(topics: Topics, items: int) -> None:
    topics.produce(
        topics.settings.topic_items,
        [(f"i{i}".encode(), json.dumps({"item_id": f"i{i}", "title": f"Item {i}"}).encode()) for i in range(items)],
    )


def events(n: int, users: int, items: int, seed: int) -> list[tuple[bytes, bytes]]:
    """Good events with repeats and garbage among them."""
    rng = random.Random(seed)
    records = []
    for i in range(n):
        user = f"u{rng.randrange(users)}"
        event = {
            "user_id": user,
            "item_id": f"i{rng.randrange(items)}",
            "action": rng.choice(["view", "click", "cart", "purchase", "like", "impression", "dislike", "refund"]),
            "event_time": 1_700_000_000_000 + i * 1000 - rng.choice([0, 0, 0, 500_000]),
            "dwell_ms": rng.randrange(60_000),
        }
        if rng.random() < 0.5:
            event |= {
                "recommendation_id": f"list-{i - i % 40}",
                "slot": rng.randrange(20),
                "value": rng.randrange(-2, 9),
            }
        if rng.random() < 0.3:
            event["event_id"] = f"e{rng.randrange(n)}"
        records.append((user.encode(), json.dumps(event).encode()))
        if rng.random() < 0.02:
            records.append(
                (user.encode(), rng.choice([b"\x00garbage", b"{}", json.dumps(event | {"action": "x"}).encode()]))
            )
    return records


def last_lists(topics: Topics) -> dict[str, tuple[int, int]]:
    """(partition, offset) of the newest event that each user's last list reflects."""
    lists = [recommendation_decoder.decode(m.value()) for m in topics.read(topics.settings.topic_recommendations)]
    return {one.user_id: (one.source.partition, one.source.offset) for one in lists}


def last_events(topics: Topics) -> dict[str, tuple[int, int]]:
    """(partition, offset) of each user's last good event."""
    found = {}
    for message in topics.read(topics.settings.topic_events):
        try:
            event = json.loads(message.value())
        except ValueError:
            continue
        if event.get("action") not in (None, "x"):
            found[event["user_id"]] = (message.partition(), message.offset())
    return found


def differences(expected: dict[Any, Any], found: dict[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    """`{key: (expected, found)}` where the two differ: a whole dictionary of packed states tells a reader nothing."""
    keys = expected.keys() | found.keys()
    return {k: (expected.get(k), found.get(k)) for k in keys if expected.get(k) != found.get(k)}


def check_everything(topics: Topics, worker: WorkerProcess) -> None:
    """State and statistics equal the sequential reference, and every user's last list reflects their last event."""
    state, items = topics.reference()
    assert differences(state, topics.state()) == {}
    assert topics.outcome_problems() == []
    assert last_events(topics) == last_lists(topics)
    worker.wait_for("the item statistics", topics.deltas_committed)
    assert differences(items, topics.items()) == {}

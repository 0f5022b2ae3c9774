"""JSON events, seeded, keyed, lz4, over the broker's partitions: the peers' workload, with heavy tails, and an even one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import numpy as np
from confluent_kafka import Producer

USERS, ITEMS = 84_850, 10_000
ACTIONS = ("view", "click", "cart", "purchase")
ACTION_SHARES = (0.7, 0.22, 0.06, 0.02)
FIRST_EVENT_MS = 1_700_000_000_000


def events(n: int, seed: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """`(user_id, JSON)` of n events; the same for the same seed."""
    rng = np.random.default_rng(seed)
    users = rng.permutation(USERS)[np.minimum(rng.zipf(1.15, n) - 1, 10**9) % USERS]
    items = (rng.zipf(1.2, n) - 1) % ITEMS
    times = FIRST_EVENT_MS + np.cumsum(rng.integers(0, 3, n))
    actions = rng.choice(len(ACTIONS), n, p=ACTION_SHARES)
    for i, (user, item, at, action) in enumerate(
        zip(users.tolist(), items.tolist(), times.tolist(), actions.tolist(), strict=True)
    ):
        yield _record(i, user, item, action, at)


def spread_events(
    n: int, users: int, seed: int = 0, at_ms: int = FIRST_EVENT_MS, stride: int = 1, items_known: int = ITEMS
) -> Iterator[tuple[bytes, bytes]]:
    """`(user_id, JSON)` of n events: user after user in turn, so that no list answers for two; items with a mild tail.

    Everyone has one event before anyone has the next, in an order that changes every time round. Users are u0, u`stride`, ...
    """
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, items_known + 1) ** 0.8
    items = rng.choice(items_known, n, p=share / share.sum()).tolist()
    actions = rng.choice(len(ACTIONS), n, p=ACTION_SHARES).tolist()
    rounds = -(-n // users)
    order = np.concatenate([rng.permutation(users) for _ in range(rounds)])[:n].tolist()
    for i, (user, item, action) in enumerate(zip(order, items, actions, strict=True)):
        yield _record(i, user * stride, item, action, at_ms + i)


def passing_users(first: int, n: int) -> Iterator[tuple[bytes, bytes]]:
    """`(user_id, JSON)` of one event each of n users that nobody has seen: from number `first` on."""
    for i in range(first, first + n):
        yield _record(i, i, i * 7919 % ITEMS, i % len(ACTIONS), FIRST_EVENT_MS + i)


def _record(i: int, user: int, item: int, action: int, at_ms: int) -> tuple[bytes, bytes]:
    event = {
        "user_id": f"u{user}",
        "item_id": f"i{item}",
        "action": ACTIONS[action],
        "event_time": at_ms,
        "dwell_ms": i % 30_000,
    }
    return f"u{user}".encode(), msgspec.json.encode(event)


def catalogue() -> Iterator[tuple[bytes, bytes]]:
    """`(item_id, JSON)` of every item the events name."""
    for i in range(ITEMS):
        yield f"i{i}".encode(), msgspec.json.encode({"item_id": f"i{i}", "title": f"Item number {i}"})


def produce(bootstrap_servers: str, topic: str, records: Iterator[tuple[bytes, bytes]]) -> float:
    """Produce all of them; seconds it took."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 50,
            "batch.num.messages": 20_000,
            "queue.buffering.max.messages": 500_000,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
        }
    )
    started = time.monotonic()
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(120):
        raise RuntimeError(f"{topic}: not everything was delivered within 120 s")
    return time.monotonic() - started

"""A made-up shop: items of topics, users who stay with one, and texts whose first word says the topic or misleads."""

from __future__ import annotations

import json

import numpy as np

TOPICS, ITEMS_PER_TOPIC = 4, 6
DAY_MS = 86_400_000
START_MS = 1_700_000_000_000


def write_shop(directory, *, users=60, each=8, seed=0, contrary_until=0.0, shift=0, start_ms=START_MS, name="events"):
    """Write `items.jsonl` and `<name>.jsonl`; returns both paths.

    A user engages with items of one topic, or, in the first `contrary_until` of the time, with one item of each topic in turn.
    `shift` moves items between topics: another task over the same items.
    """
    items = directory / "items.jsonl"
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = [
        {"item_id": f"i{t}-{k}", "title": f"{letters[t] * 3} {letters[10 + k]} {letters[10 + (k * 5 + t) % 16]}"}
        for t in range(TOPICS)
        for k in range(ITEMS_PER_TOPIC)
    ]
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rng = np.random.default_rng(seed)
    events = []
    for user in range(users):
        at = start_ms + user * DAY_MS // 4
        is_contrary = user < contrary_until * users
        topic = user % TOPICS
        for n, k in enumerate(rng.permutation(ITEMS_PER_TOPIC)[:each].tolist()):
            t = n % TOPICS if is_contrary else (topic + shift * (k % 2)) % TOPICS
            events.append(
                {"user_id": f"u{user}", "action": "click", "item_id": f"i{t}-{k}", "event_time": at + n * 60_000}
            )
    path = directory / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in events))
    return items, path

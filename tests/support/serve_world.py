"""A small shop on an embedded broker with a worker and `penchant serve`: what tests of its HTTP share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from serve_process import ServeProcess
from worker_process import Topics, WorkerProcess

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs

ITEMS, PEOPLE, PARTITIONS = 60, 24, 3
CATEGORIES = ("tea", "cups", "lamps")

MOMENT_MS = int(time.time() * 1000) - 3_600_000


class World(NamedTuple):
    """The running parts."""

    broker: EmbeddedBroker
    topics: Topics
    worker: WorkerProcess
    serve: ServeProcess


def item(number: int, **more: Any) -> tuple[bytes, bytes]:
    fields = {
        "item_id": f"i{number}",
        "title": f"{CATEGORIES[number % 3].title()} number {number}",
        "categories": [CATEGORIES[number % 3]],
        "price": float(number),
    }
    return f"i{number}".encode(), msgspec.json.encode(fields | more)


def event(user_id: str, number: int, action: str = "click", after_ms: int = 0, **more: Any) -> tuple[bytes, bytes]:
    fields = {"user_id": user_id, "action": action, "item_id": f"i{number}", "event_time": MOMENT_MS + after_ms}
    return user_id.encode(), msgspec.json.encode(fields | more)


def behaviours() -> Iterator[tuple[bytes, bytes]]:
    """Everybody likes things of two categories, in an order that is the same every time."""
    for step in range(8):
        for person in range(PEOPLE):
            number = (person % 3 + 3 * ((person * 7 + step * 5) % (ITEMS // 3))) % ITEMS
            action = "purchase" if step % 4 == 3 else "click"
            yield event(f"u{person}", number, action, after_ms=60_000 * step + 100 * person)


@contextmanager
def serve_world(folder: Path, **overrides: Any) -> Iterator[World]:
    """Everything is read and answered when it begins."""
    topics_settings = Topics("127.0.0.1:1", "serve").settings
    specs = {spec.name: PARTITIONS for spec in topic_specs(topics_settings)}
    with EmbeddedBroker(specs) as broker:
        topics = Topics(broker.bootstrap_servers, "serve", partitions=PARTITIONS)
        settings = topics.settings
        topics.produce(settings.topic_items, map(item, range(ITEMS)))
        topics.produce(settings.topic_events, behaviours())
        with (
            WorkerProcess(settings, folder / "worker") as worker,
            ServeProcess(settings, folder / "serve", **overrides) as serve,
        ):
            worker.wait_for("everything is committed", topics.all_committed)
            serve.until_ready()
            serve.wait_for(
                "everybody has a list",
                lambda: all(serve.get(f"/v1/users/u{p}/recommendations")["how"] == "published" for p in range(PEOPLE)),
            )
            yield World(broker, topics, worker, serve)

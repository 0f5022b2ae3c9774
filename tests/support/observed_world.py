"""A small shop that is watched: broker, worker, `penchant serve`, people who do something, and a Prometheus beside them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from prometheus_process import PrometheusProcess
from serve_process import ServeProcess
from serve_world import ITEMS, PARTITIONS, PEOPLE, behaviours, event, item
from worker_process import Topics, WorkerProcess

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs

WORKER_JOB, SERVE_JOB = "penchant-worker", "penchant-serve"
TURN_S = 0.1


class Shoppers:
    """People who do something all the time, and ask for their lists: a thread that runs inside the context."""

    def __init__(self, topics: Topics, serve: ServeProcess) -> None:
        self._topics, self._serve = topics, serve
        self.broken_share = 0.05
        """Of their events, so many cannot be read."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="shoppers", daemon=True)

    def __enter__(self) -> Shoppers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _go_on(self) -> None:
        turn, settings = 0, self._topics.settings
        with httpx.Client(base_url=self._serve.url, timeout=10) as client:
            while not self._ended.wait(TURN_S):
                turn += 1
                person, number = f"u{turn % PEOPLE}", turn * 7 % ITEMS
                now_ms = round(time.time() * 1000)
                records = [event(person, number, "purchase" if turn % 4 == 0 else "click", event_time=now_ms)]
                if turn % max(1, round(1 / self.broken_share)) == 0:
                    records.append((person.encode(), b"{broken"))
                with suppress(AssertionError):  # while the broker is away
                    self._topics.produce(settings.topic_events, records)
                with suppress(httpx.HTTPError):  # while it is away
                    client.get(f"/v1/users/{person}/recommendations")


class Watched(NamedTuple):
    """The running parts."""

    topics: Topics
    worker: WorkerProcess
    serve: ServeProcess
    prometheus: PrometheusProcess
    shoppers: Shoppers


@contextmanager
def watched_world(folder: Path, divisor: float = 1, **of_worker: Any) -> Iterator[Watched]:
    """On the embedded broker. `divisor`: windows of the rules are so many times shorter; `of_worker`: further settings."""
    specs = {spec.name: PARTITIONS for spec in topic_specs(Topics("127.0.0.1:1", "watched").settings)}
    with EmbeddedBroker(specs) as broker:
        topics = Topics(broker.bootstrap_servers, "watched", partitions=PARTITIONS)
        settings = topics.settings
        topics.produce(settings.topic_items, map(item, range(ITEMS)))
        topics.produce(settings.topic_events, behaviours())
        with (
            WorkerProcess(settings, folder / "worker", **({"encoder_model": "hashing"} | of_worker)) as worker,
            ServeProcess(settings, folder / "serve") as serve,
        ):
            targets = {WORKER_JOB: f"127.0.0.1:{worker.port}", SERVE_JOB: serve.url.removeprefix("http://")}
            with (
                PrometheusProcess(folder / "prometheus", targets, divisor) as prometheus,
                Shoppers(topics, serve) as shoppers,
            ):
                serve.until_ready()
                worker.wait_for("lists are made", lambda: bool(worker.metrics().get("penchant_commits_total")))
                yield Watched(topics, worker, serve, prometheus, shoppers)

"""The whole worker on Apache Kafka: events in, state durable, lists and reasons out; throughput, latency, start, memory.

One worker process and the broker share the machine. The competitor is plain Faust on the same topic in the same run, doing the
state part only (no ranking, nothing published), as its users write it: `benchmarks/peers/faust`.

- `events_per_s`: n events lie in the topic; from when the worker is up until all are applied, durable in the changelog, and
  committed, which includes that every changed user has a fresh list.
- `state_events_per_s`: the same until all are applied to state (lists may still be waiting).
- `p50_ms`, `p99_ms`: when the backlog is done, open loop at `rate` events/s from another process; Kafka timestamp of the event
  to Kafka timestamp of the first list that reflects it. The producer never waits for answers, so a stall is counted in full.
  `.._just_after_bulk`: the same for 5 s while the item statistics of the backlog are still coming round.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.engines import PEERS_MEASURED, NotInstallableError, measure
from benchmarks.kafka import Broker, GroupOffsets, local_kafka
from benchmarks.processes import TIMEOUT_S, Worker, wait_until_done
from benchmarks.workload import catalogue, events, produce
from stream.kafka.log_ends import log_bounds
from stream.kafka.topics import create_topics
from stream.settings import Settings, load_settings


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        settings = load_settings(bootstrap_servers=broker.bootstrap_servers, encoder_model="none")
        create_topics(settings)
        produce(broker.bootstrap_servers, settings.topic_items, catalogue())
        produce(broker.bootstrap_servers, settings.topic_events, events(options.events))
        figures = _throughput(settings, options, Path(directory))
        if options.plain_faust_events:
            figures |= _plain_faust(broker, settings.topic_events, options.plain_faust_events)
    return figures


def _throughput(settings: Settings, options: argparse.Namespace, directory: Path) -> dict[str, float]:
    total = options.events
    with (
        GroupOffsets(settings.bootstrap_servers, settings.group_id, settings.topic_events) as offsets,
        Worker(settings, directory / "data") as worker,
    ):
        started = time.monotonic()
        ready = worker.wait_for("its first event", lambda: worker.applied() > 0)
        first = worker.applied()
        in_state = worker.wait_for("all events to be applied", lambda: worker.applied() >= total)
        done = worker.wait_for(
            "all events to be committed", lambda: offsets.committed() >= total and worker.owes_nothing()
        )
        figures = {
            "events": float(total),
            "start_to_first_event_s": ready - started,
            "state_events_per_s": (total - first) / (in_state - ready),
            "events_per_s": (total - first) / (done - ready),
            "lists_published": worker.total("penchant_recommendations_total"),
            "cpu_s": worker.cpu_s(),
            "rss_mib": worker.rss_mib(),
        }
        figures["lists_per_s"] = figures["lists_published"] / (done - ready)
        busy = _latency(settings, options.rate, 5.0, seed=98)
        figures |= {f"{name}_just_after_bulk": busy[name] for name in ("p50_ms", "p99_ms")}
        wait_until_done(worker, settings)
        return figures | _latency(settings, options.rate, options.seconds, seed=99)


def _latency(settings: Settings, rate: float, seconds: float, seed: int) -> dict[str, float]:
    """Open loop: event i is due at start + i / rate whatever the worker does."""
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap_servers, "linger.ms": 0, "partitioner": "murmur2_random"}
    )
    sent: dict[tuple[int, int], int] = {}
    by_user: dict[str, list[tuple[int, int]]] = {}

    def delivered(error: object, message: object) -> None:
        if error is not None:
            raise RuntimeError(str(error))
        partition, offset = message.partition(), message.offset()  # type: ignore[attr-defined]
        sent[partition, offset] = message.timestamp()[1]  # type: ignore[attr-defined]
        by_user.setdefault(message.key().decode(), []).append((partition, offset))  # type: ignore[attr-defined]

    consumer = _at_end(settings, settings.topic_recommendations)
    total = int(rate * seconds)
    start = time.monotonic()
    for i, (key, value) in enumerate(events(total, seed=seed)):
        while (ahead := start + i / rate - time.monotonic()) > 0:
            producer.poll(min(ahead, 0.01))
        producer.produce(settings.topic_events, value, key, on_delivery=delivered)
    producer.flush(60)
    reflected: dict[tuple[int, int], int] = {}
    deadline = time.monotonic() + 60
    while len(reflected) < len(sent) and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.2):
            source = json.loads(message.value())["source"]
            mine = by_user.get(message.key().decode(), [])
            for event in [e for e in mine if e[0] == source["partition"] and e[1] <= source["offset"]]:
                reflected.setdefault(event, message.timestamp()[1])
                mine.remove(event)
    consumer.close()
    latencies = np.array([reflected[event] - sent[event] for event in reflected], float)
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "rate_per_s": rate,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(latencies.max()),
        "unanswered": float(len(sent) - len(reflected)),
    }


def _plain_faust(broker: Broker, topic: str, events_given: int) -> dict[str, float]:
    """Events/s of plain Faust on the first `events_given` events it gets of the same topic."""
    (peer,) = (peer for peer in PEERS_MEASURED if peer.name == "faust")
    try:
        return {"plain_faust_events_per_s": measure(peer, broker, topic, events_given, TIMEOUT_S).per_s}
    except NotInstallableError as error:
        sys.stderr.write(f"worker: skipped {error}\n")
        return {}


def _at_end(settings: Settings, topic: str) -> Consumer:
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "bench", "fetch.wait.max.ms": 10})
    bounds = log_bounds(consumer, [(topic, p) for p in range(settings.partitions)], TIMEOUT_S)
    consumer.assign([TopicPartition(topic, p, end) for (_, p), (_, end) in bounds.items()])
    return consumer


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=worker ARGS=")
    parser.add_argument("--events", type=int, default=200_000, help="events that lie in the topic")
    parser.add_argument("--rate", type=float, default=200.0, help="events/s of the latency part")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the latency part")
    parser.add_argument("--plain-faust-events", type=int, default=20_000, help="events for the competitor; 0 = without")
    return parser.parse_args(arguments)

"""The whole worker on Apache Kafka: events in, state durable, lists and reasons out; throughput, latency, start, memory.

One worker process and the broker share the machine. The competitor is plain Faust on the same topic in the same run, doing the
state part only (no ranking, nothing published), as its users write it: `benchmarks/plain_faust.py`.

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
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.kafka import local_kafka
from benchmarks.workload import catalogue, events, produce
from stream.kafka import create_topics
from stream.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600.0


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    with local_kafka() as bootstrap_servers, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        settings = load_settings(
            bootstrap_servers=bootstrap_servers, data_dir=Path(directory) / "data", metrics_port=_free_port()
        )
        create_topics(settings)
        produce(bootstrap_servers, settings.topic_items, catalogue())
        produce(bootstrap_servers, settings.topic_events, events(options.events))
        figures = _throughput(settings, options, Path(directory))
        if options.plain_faust_events:
            figures |= _plain_faust(settings, options.plain_faust_events, Path(directory))
    return figures


def _throughput(settings: Settings, options: argparse.Namespace, directory: Path) -> dict[str, float]:
    started = time.monotonic()
    with (directory / "worker.log").open("wb") as log:
        worker = subprocess.Popen([sys.executable, "-m", "stream", "worker"], env=_environment(settings), stderr=log)
    try:
        samples = _Samples(settings.metrics_port)
        total = options.events

        def applied() -> float:
            return sum(v for name, v in samples.read().items() if name.startswith("penchant_events_total"))

        _wait(worker, lambda: applied() > 0)
        ready = time.monotonic()
        first = applied()
        _wait(worker, lambda: applied() >= total)
        in_state = time.monotonic()
        _wait(worker, lambda: sum(_committed(settings).values()) >= total)
        done = time.monotonic()
        process = psutil.Process(worker.pid)
        figures = {
            "events": float(total),
            "start_to_first_event_s": ready - started,
            "state_events_per_s": (total - first) / (in_state - ready),
            "events_per_s": (total - first) / (done - ready),
            "lists_published": sum(
                v for name, v in samples.read().items() if name.startswith("penchant_recommendations_total")
            ),
            "cpu_s": sum(process.cpu_times()[:2]),
            "rss_mib": process.memory_info().rss / 2**20,
        }
        figures["lists_per_s"] = figures["lists_published"] / (done - ready)
        busy = _latency(settings, options.rate, 5.0, seed=98)
        figures |= {f"{name}_just_after_bulk": busy[name] for name in ("p50_ms", "p99_ms")}
        _wait(worker, lambda: _is_idle(samples.read()))
        return figures | _latency(settings, options.rate, options.seconds, seed=99)
    finally:
        worker.terminate()
        worker.wait(30)


def _is_idle(samples: dict[str, float]) -> bool:
    lag = sum(value for name, value in samples.items() if name.startswith("penchant_lag_records"))
    return lag == 0 and samples.get("penchant_refresh_queue_users") == 0


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


def _plain_faust(settings: Settings, limit: int, directory: Path) -> dict[str, float]:
    """Events/s of plain Faust on the first `limit` events it gets of the same topic."""
    command = [sys.executable, "-m", "benchmarks.plain_faust", "worker", "-l", "error"]
    environment = os.environ | {
        "BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TOPIC": settings.topic_events,
        "LIMIT": str(limit),
        "DATA_DIR": str(directory / "plain-faust"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    rate = next((line.split()[1] for line in done.stdout.splitlines() if line.startswith("RATE ")), None)
    if rate is None:
        raise RuntimeError(f"plain Faust did not finish: {done.stderr[-2000:]}")
    return {"plain_faust_events_per_s": float(rate)}


class _Samples:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def read(self) -> dict[str, float]:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        parts = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in parts}


def _wait(worker: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if worker.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the worker ended, or did not get there in time")
        time.sleep(0.05)


def _committed(settings: Settings) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id})
    try:
        partitions = [TopicPartition(settings.topic_events, p) for p in range(settings.partitions)]
        return {tp.partition: max(0, tp.offset) for tp in consumer.committed(partitions, timeout=30)}
    finally:
        consumer.close()


def _at_end(settings: Settings, topic: str) -> Consumer:
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "bench", "fetch.wait.max.ms": 10})
    partitions = [TopicPartition(topic, p) for p in range(settings.partitions)]
    ends = [consumer.get_watermark_offsets(tp, timeout=30)[1] for tp in partitions]
    consumer.assign([TopicPartition(topic, tp.partition, end) for tp, end in zip(partitions, ends, strict=True)])
    return consumer


def _environment(settings: Settings) -> dict[str, str]:
    own = {name: str(getattr(settings, name)) for name in ("bootstrap_servers", "data_dir", "metrics_port")}
    return os.environ | {f"PENCHANT_{name.upper()}": value for name, value in own.items()} | {"PYTHONPATH": str(ROOT)}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=worker ARGS=")
    parser.add_argument("--events", type=int, default=200_000, help="events that lie in the topic")
    parser.add_argument("--rate", type=float, default=200.0, help="events/s of the latency part")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the latency part")
    parser.add_argument("--plain-faust-events", type=int, default=20_000, help="events for the competitor; 0 = without")
    return parser.parse_args(arguments)

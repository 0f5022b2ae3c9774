"""What things cost: the table from which `penchant plan` says how large an installation has to be.

One worker, one broker, CPU seconds (not wall time, so that other work on the machine matters little). Writes
`benchmarks/results/costs.json`; `--ship` writes it into the package instead, for a release.

- `cpu_us_per_event`: state alone (`recommend = false`), a backlog of `--events`.
- `cpu_us_per_list`: with lists on, of what a further event costs beyond its state, one list for each event.
- bytes: key and value of the records that came of it, before compression; disk after a clean stop.
- `serve_cpu_us_per_request`: published lists over one connection after another.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.kafka import TIMEOUT_S, Broker, local_kafka
from benchmarks.processes import ROOT, Worker, settings_of, sum_of, wait_until_done
from benchmarks.serve import Server
from benchmarks.workload import ITEMS, catalogue, produce, spread_events
from stream import __version__
from stream.analysis.capacity.costs import FILE, Costs
from stream.kafka.log_ends import log_bounds
from stream.kafka.topics import create_topics
from stream.settings import Settings

LISTS = "penchant_recommendations_total"
SHIPPED = ROOT / "stream" / "analysis" / "capacity" / FILE
RESULT = ROOT / "benchmarks" / "results" / FILE


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    parser = argparse.ArgumentParser(prog="costs", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="of which states alone are kept")
    parser.add_argument("--users", type=int, default=20_000, help="with lists")
    parser.add_argument("--behaviours", type=int, default=12, help="of each, before lists are measured")
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--ship", action="store_true", help="into the package")
    options = parser.parse_args(arguments)
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-costs-") as directory:
        found = _states(broker, options, Path(directory)) | _lists(broker, options, Path(directory))
    costs = msgspec.convert(found | _origin() | {"behaviours_per_user": options.behaviours + 1}, Costs)
    target = SHIPPED if options.ship else RESULT
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(msgspec.to_builtins(costs), indent=2) + "\n")
    sys.stderr.write(f"written to {target.relative_to(ROOT)}\n")
    return {_figure(name): value * (1e6 if "_s_per_" in name else 1) for name, value in found.items()}


def _figure(name: str) -> str:
    return name.replace("cpu_s_per", "cpu_us_per")


def _origin() -> dict[str, str]:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "version": __version__,
        "commit": done.stdout.strip() or "an unknown commit",
        "machine": f"{psutil.cpu_count()} cores, {_cpu_model()}, Python {platform.python_version()}",
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _states(broker: Broker, options: argparse.Namespace, directory: Path) -> dict[str, float]:
    """A backlog, states alone; what comes before the first event (starting, compiling) is not counted."""
    settings = settings_of(broker.bootstrap_servers, "states", recommend=False)
    create_topics(settings)
    users = max(1, options.events // 10)
    produce(broker.bootstrap_servers, settings.topic_events, spread_events(users, users))
    with Worker(settings, directory / "states") as worker:
        wait_until_done(worker, settings)
        began, broker_began = worker.cpu_s(), broker.cpu_s()
        produce(broker.bootstrap_servers, settings.topic_events, spread_events(options.events, users, seed=1))
        wait_until_done(worker, settings)
        worker_s, broker_s = worker.cpu_s() - began, broker.cpu_s() - broker_began
    written = options.events + users
    return {
        "cpu_s_per_event": worker_s / options.events,
        "broker_cpu_s_per_event": broker_s / options.events,
        "event_bytes": _bytes_of(settings, settings.topic_events) / written,
        "changelog_bytes_per_event": _bytes_of(settings, settings.changelog_topic) / written,
    }


def _lists(broker: Broker, options: argparse.Namespace, directory: Path) -> dict[str, float]:
    settings = settings_of(broker.bootstrap_servers, "lists")
    create_topics(settings)
    with Worker(settings, directory / "empty") as worker:
        worker.wait_for("it is ready", lambda: worker.samples().get("penchant_partitions", 0) > 0, TIMEOUT_S)
        base = worker.rss_mib() * (1 << 20)
        produce(broker.bootstrap_servers, settings.topic_items, catalogue())
        history = spread_events(options.users * options.behaviours, options.users)
        produce(broker.bootstrap_servers, settings.topic_events, history)
        wait_until_done(worker, settings, 20 * TIMEOUT_S)
        began, broker_began, lists_began = worker.cpu_s(), broker.cpu_s(), worker.total(LISTS)
        bytes_began = _bytes_by_topic(settings)
        produce(broker.bootstrap_servers, settings.topic_events, spread_events(options.users, options.users, seed=1))
        wait_until_done(worker, settings, 20 * TIMEOUT_S)
        lists = worker.total(LISTS) - lists_began
        worker_s, broker_s = worker.cpu_s() - began, broker.cpu_s() - broker_began
        memory, samples = worker.rss_mib() * (1 << 20), worker.samples()
        written = {topic: total - bytes_began[topic] for topic, total in _bytes_by_topic(settings).items()}
        served = _served(settings, options, directory)
    caches = sum_of(samples, "penchant_memory_bytes") - samples['penchant_memory_bytes{part="statistics"}']
    return {
        "cpu_s_per_list": worker_s / lists,
        "broker_cpu_s_per_list": broker_s / lists,
        "delta_bytes_per_event": written[settings.topic_item_deltas] / options.users,
        "list_bytes": written[settings.topic_recommendations] / lists,
        "reasons_bytes_per_list": written[settings.topic_attributions] / lists,
        "state_bytes_per_user": _bytes_of(settings, settings.changelog_topic, latest=True) / options.users,
        "worker_base_bytes": base,
        "worker_bytes_per_item": max(0.0, memory - base - caches) / ITEMS,
        **served,
    }


def _served(settings: Settings, options: argparse.Namespace, directory: Path) -> dict[str, float]:
    with Server(settings, directory / "serve", ("-m", "stream", "serve", "--port", "PORT")) as serve:
        serve.wait_for("penchant serve to be ready", lambda: serve.status("/health/ready") == 200)
        began = serve.cpu_s()
        for n in range(options.requests):
            if serve.status(f"/v1/users/u{n % options.users}/recommendations") != 200:
                raise RuntimeError(f"the list of u{n % options.users} was not answered")
        return {
            "serve_cpu_s_per_request": (serve.cpu_s() - began) / options.requests,
            "serve_base_bytes": serve.rss_mib() * (1 << 20),
            "serve_disk_bytes_per_user": serve.disk_bytes() / options.users,
        }


def _bytes_by_topic(settings: Settings) -> dict[str, float]:
    topics = (settings.topic_item_deltas, settings.topic_recommendations, settings.topic_attributions)
    return {topic: _bytes_of(settings, topic) for topic in topics}


def _bytes_of(settings: Settings, topic: str, *, latest: bool = False) -> float:
    """Keys and values of all records of a topic; `latest`: of the last of each key."""
    consumer = Consumer(settings.client_config() | {"group.id": "costs", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        bounds = log_bounds(consumer, [(topic, p) for p in partitions], TIMEOUT_S)
        left = {p: end for (_, p), (begin, end) in bounds.items() if end > begin}
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        total, of_key, silent_s = 0, dict[bytes, int](), 0.0
        while left and silent_s < 2.0:  # the last records may be the markers of transactions, which nobody gets
            messages = consumer.consume(10_000, 0.5)
            silent_s = 0.0 if messages else silent_s + 0.5
            for message in messages:
                size = len(message.key() or b"") + len(message.value() or b"")
                total += size
                of_key[message.key() or b""] = size
                if message.offset() >= left.get(message.partition(), 0) - 1:
                    left.pop(message.partition(), None)
        return float(sum(of_key.values()) if latest else total)
    finally:
        consumer.close()

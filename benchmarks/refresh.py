"""Users refreshed per second: ranked among 10,000 items with statistics, 20 places with their reasons, encoded as JSON.

- `users_per_s`: the tracker alone, in this process: no Kafka, no other work. Users have 30 behaviours each and wait in line as
  they do after an event; `refresh_batch_users` are ranked together.
- `reasons_add`: what reasons add to that, as a share of a refresh without it, in the same run; also with three causes a
  place (`contributions_max`) and for a quarter of all users (`explained_users`).
- `outcomes_add`: what remembering the lists adds, for the outcomes that they may earn.
- `worker_users_per_s`: a worker process on Kafka. Every user sends one more event, all at once; from the first list published
  until the last. That includes reading and applying the events, publishing, and commits.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kafka import local_kafka
from benchmarks.measure import events_per_s
from benchmarks.processes import Worker, settings_of, sum_of, wait_until_done
from benchmarks.workload import FIRST_EVENT_MS, catalogue, produce, spread_events
from stream.kafka.replica import Replicated
from stream.kafka.topics import create_topics
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.settings import Settings, load_settings
from stream.storage.rocks import DataDirectory
from stream.wire.records import encode
from stream.worker.tracker import Tracker

PARTITION = 0
LISTS = "penchant_recommendations_total"


class _Record(NamedTuple):
    """What a tracker reads of a Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        figures = _in_process(options, Path(directory) / "data")
        if options.worker_users:
            figures |= _in_worker(options, Path(directory) / "worker")
    return figures


# --- in this process ---


def _in_process(options: argparse.Namespace, data_dir: Path) -> dict[str, float]:
    settings = load_settings()
    worlds = {
        name: _World(settings.model_copy(update=update), data_dir / name, options) for name, update in VARIANTS.items()
    }
    turns: dict[str, list[_Turn]] = {name: [] for name in worlds}
    for round_ in range(options.rounds):  # in turn, so that a noisy moment hits all of them
        for name, world in worlds.items():
            turns[name].append(world.refresh_everyone(options, round_))
    for world in worlds.values():
        world.close()
    figures: dict[str, float] = {}
    for name, taken in turns.items():
        rate = events_per_s(sum(t.users for t in taken), 0.0, sum(t.cpu_s for t in taken))
        figures["users_per_cpu_s" if name == "full" else f"users_per_cpu_s_{name}"] = rate
    full = turns["full"]
    batch_s = [seconds for turn in full for seconds in turn.batch_s]
    n_users = sum(turn.users for turn in full)
    bare = figures["users_per_cpu_s_without_reasons"]
    return figures | {
        "users_per_s": events_per_s(n_users, 0.0, sum(batch_s)),
        "batch_users": float(settings.refresh_batch_users),
        "batch_p50_ms": float(np.percentile(batch_s, 50)) * 1000,
        "batch_p99_ms": float(np.percentile(batch_s, 99)) * 1000,
        "items_with_statistics": float(worlds["full"].tracker.knowledge.stats.size),
        "reasons_per_user": sum(turn.reasons for turn in full) / n_users,
        "encoded_bytes_per_user": sum(turn.size_bytes for turn in full) / n_users,
        "records_per_user": sum(turn.records for turn in full) / n_users,
        "reasons_add": bare / figures["users_per_cpu_s"] - 1.0,
        "reasons_add_with_3_causes": bare / figures["users_per_cpu_s_with_3_causes"] - 1.0,
        "reasons_add_for_a_quarter_of_users": bare / figures["users_per_cpu_s_for_a_quarter_of_users"] - 1.0,
        "outcomes_add": figures["users_per_cpu_s_without_outcomes"] / figures["users_per_cpu_s"] - 1.0,
    }


VARIANTS: dict[str, dict[str, object]] = {
    "full": {},
    "without_reasons": {"explained_users": 0.0},
    "with_3_causes": {"contributions_max": 3},
    "for_a_quarter_of_users": {"explained_users": 0.25},
    "without_outcomes": {"outcome_rule": "none"},
}


class _Turn(NamedTuple):
    """Everyone refreshed once."""

    users: int
    cpu_s: float
    batch_s: list[float]
    size_bytes: int
    records: int
    reasons: int


class _World:
    """A tracker over users with a history, and items with statistics."""

    def __init__(self, settings: Settings, data_dir: Path, options: argparse.Namespace) -> None:
        self._settings = settings
        self._data = DataDirectory(data_dir, settings.block_cache_bytes, settings.write_buffer_bytes)
        self._stores = self._data.stores("users"), self._data.stores("items")
        users, items = self._stores
        self.tracker = Tracker(settings, Metrics())
        partition = self.tracker.users[PARTITION] = UserPartition(PARTITION, users[PARTITION])
        self.tracker.replicate_items([Replicated(k, v, 0, 0, 0) for k, v in catalogue()], time.monotonic())
        _apply(self.tracker, partition, spread_events(options.users * options.behaviours, options.users), settings)
        _learn_items(self.tracker, partition, ItemPartition(items[PARTITION], settings.neighbours_max), settings)
        _refresh_all(self.tracker, settings)  # warm, and the users that the events above have queued

    def refresh_everyone(self, options: argparse.Namespace, round_: int) -> _Turn:
        """As after an event of each."""
        cpu_before = time.process_time()
        first = options.users * (options.behaviours + round_)
        users = np.arange(options.users)
        times_ms = np.full(options.users, FIRST_EVENT_MS)
        keys = [f"u{i}".encode() for i in range(options.users)]
        self.tracker.queue.add_events(PARTITION, keys, users, first + users, times_ms, times_ms, time.monotonic())
        batches = _refresh_all(self.tracker, self._settings)
        return _Turn(
            sum(each.users for each in batches),
            time.process_time() - cpu_before,
            [each.seconds for each in batches],
            sum(each.size_bytes for each in batches),
            sum(each.records for each in batches),
            sum(each.reasons for each in batches),
        )

    def close(self) -> None:
        """Give the directory back."""
        for stores in self._stores:
            stores.close_all()
        self._data.close()


def _apply(tracker: Tracker, users: UserPartition, events: Iterator[tuple[bytes, bytes]], settings: Settings) -> None:
    offset = 0
    while chunk := list(islice(events, settings.chunk_max_records)):
        records: list[Any] = [
            _Record(settings.topic_events, PARTITION, offset + i, FIRST_EVENT_MS, key, value)
            for i, (key, value) in enumerate(chunk)
        ]
        tracker.apply(users, tracker.read(records), time.monotonic())
        offset += len(chunk)
        users.next_offset = offset


def _learn_items(tracker: Tracker, users: UserPartition, items: ItemPartition, settings: Settings) -> None:
    """What the events say about items, as it comes round by way of Kafka."""
    deltas = users.take_deltas(settings.pair_decay, settings.forward_decay, tracker.knowledge.names)
    records: list[Any] = [
        _Record(settings.topic_item_deltas, PARTITION, i, FIRST_EVENT_MS, key, value)
        for i, (key, value) in enumerate(deltas)
    ]
    items.apply(records)
    snapshot = items.take().stored
    replicated = [Replicated(key, value, 0, 0, 0) for key, value in zip(snapshot.keys, snapshot.values, strict=True)]
    tracker.replicate_stats(replicated, time.monotonic())


class _Batch(NamedTuple):
    """Users ranked together."""

    seconds: float
    users: int
    size_bytes: int
    records: int
    reasons: int


def _refresh_all(tracker: Tracker, settings: Settings) -> list[_Batch]:
    """Refresh everyone who waits."""
    batches: list[_Batch] = []
    while True:
        started = time.perf_counter()
        batch = tracker.queue.next_batch(settings.refresh_batch_users)
        if batch is None:
            return batches
        published = tracker.refresh(batch.partition, batch.due, time.time_ns() // 1_000_000, time.monotonic())
        size = records = reasons = 0
        for each in published:
            size += len(encode(each.recommendation))
            records += 1
            if each.reasons is not None:
                size += len(each.reasons.value)
                records += 1
                reasons += len(each.recommendation.items)
        batches.append(_Batch(time.perf_counter() - started, len(published), size, records, reasons))


# --- through a worker ---


def _in_worker(options: argparse.Namespace, data_dir: Path) -> dict[str, float]:
    users = options.worker_users
    with local_kafka() as broker:
        settings = settings_of(broker.bootstrap_servers, "refresh")
        create_topics(settings)
        produce(broker.bootstrap_servers, settings.topic_items, catalogue())
        produce(
            broker.bootstrap_servers, settings.topic_events, spread_events(users * options.worker_behaviours, users)
        )
        with Worker(settings, data_dir) as worker:
            wait_until_done(worker, settings)
            rate, cpu_s = burst_rate(worker, settings, users)
    return {"worker_users_per_s": rate, "worker_users_per_cpu_s": users / cpu_s}


def burst_rate(worker: Worker, settings: Settings, users: int) -> tuple[float, float]:
    """All `users` send one event at once: lists per second from the first to the last, and the processor seconds it took."""
    lists_before, cpu_before = worker.total(LISTS), worker.cpu_s()
    produce(settings.bootstrap_servers, settings.topic_events, spread_events(users, users, seed=1))
    readings: list[tuple[float, float]] = []

    def all_published() -> bool:
        readings.append((time.monotonic(), sum_of(worker.samples(), LISTS) - lists_before))
        return readings[-1][1] >= users

    worker.wait_for("a list for every user", all_published)
    started = max(at for at, lists in readings if lists <= 0) if readings[0][1] <= 0 else readings[0][0]
    skipped = max(0.0, readings[0][1])
    cpu_s = worker.cpu_s() - cpu_before
    wait_until_done(worker, settings)
    return events_per_s(readings[-1][1] - skipped, started, readings[-1][0]), cpu_s


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=refresh ARGS=")
    parser.add_argument("--users", type=int, default=5_000, help="users in this process")
    parser.add_argument("--behaviours", type=int, default=30, help="of each of them")
    parser.add_argument("--rounds", type=int, default=4, help="times that each is refreshed")
    parser.add_argument("--worker-users", type=int, default=20_000, help="users of the worker process; 0 = without")
    parser.add_argument("--worker-behaviours", type=int, default=10, help="of each of them")
    return parser.parse_args(arguments)

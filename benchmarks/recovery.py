"""A worker with a million users: from nothing to serving, what a user weighs, and whether size costs time or memory.

- `recovery_s`: the changelog holds `users` states, the disk nothing; from starting the process until new events of every
  partition have their lists. `warm_start_s`: the same after a clean stop, from the local RocksDB.
- `state_mean_bytes`, `state_p99_bytes`, `state_max_bytes`: packed states, made by the state code from histories whose length
  is log-normal (median 12 behaviours, a tenth over 55, at most 400), a quarter of them impressions, over 60 days.
- `cpu_us_per_event_U`: processor time of an event with U users in state, 10,000 of whom are active. `.._U_all_active`: events
  of all of them in turn, so that a larger state also means more users to load and to write at each commit.
- `memory_max_mib`, `memory_growth_mib_per_million_users`: resident memory while users come, once each, and never come again;
  the second over the second half of them. Caches are set small (see CACHES), so that they are full early.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import plots
from benchmarks.kafka import Broker, GroupOffsets, local_kafka
from benchmarks.large_world import changelog
from benchmarks.measure import growth
from benchmarks.processes import Worker, can_switch_recommending_off, settings_of
from benchmarks.workload import ITEMS, catalogue, passing_users, produce, spread_events
from models.hashing import item_hash
from models.vocabulary import ACTIONS
from stream.kafka.topics import create_topics
from stream.settings import Settings, load_settings
from stream.state.record import NEVER, States, dwell_code, pack
from stream.state.update import EventColumns, UpdateParams, apply_events

TEMPLATES = 20_000
"""Different states that are made; users beyond that have the same ones again."""
BATCH_USERS = 2_000
DAY_MS = 86_400_000
SPAN_DAYS = 60
START_MS = 1_700_000_000_000
SHARES = {"view": 0.52, "click": 0.16, "cart": 0.05, "purchase": 0.02, "impression": 0.25}

PROBES = 64
"""New events after a start; with four partitions each has some."""
ACTIVE = 10_000
STATES = (10_000, 100_000, 1_000_000)
CACHES = {"overlay_max_bytes": 64 << 20, "block_cache_bytes": 32 << 20, "write_buffer_bytes": 32 << 20}
PASSING_BLOCK = 50_000
SLOWER = 20
"""So many fewer events where every event also asks for a list."""


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    if not can_switch_recommending_off():
        _say(f"this worker has no setting `recommend`: cost and memory include lists, over {SLOWER} times fewer events")
        options.cost_events //= SLOWER
        options.passing_users //= SLOWER
    started = time.monotonic()
    packed = make_states(TEMPLATES)
    _say(f"{TEMPLATES} states made in {time.monotonic() - started:.0f} s")
    sizes = np.array([len(value) for value in packed])
    figures = {
        "state_mean_bytes": float(sizes.mean()),
        "state_p99_bytes": float(np.percentile(sizes, 99)),
        "state_max_bytes": float(sizes.max()),
    }
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        figures |= _recovery(broker, packed, options.users, Path(directory))
        costs = _costs(broker, packed, options, Path(directory))
        figures |= {
            f"cpu_us_per_event_{users}{suffix}": value
            for suffix, by_users in costs.items()
            for users, value in by_users.items()
        }
        if options.passing_users:
            figures |= _memory(broker, options.passing_users, Path(directory))
    if costs:
        labels = {"": f"{ACTIVE:,} of them active", "_all_active": "all of them active in turn"}
        plots.cost({labels[suffix]: by_users for suffix, by_users in costs.items()})
    return figures


# --- states ---


def make_states(users: int, seed: int = 0, items_known: int = ITEMS) -> list[bytes]:
    """Packed states of users with realistic histories, each as if none of the events topic were applied yet."""
    rng = np.random.default_rng(seed)
    items = np.array([item_hash(f"i{i}") for i in range(items_known)], np.uint64)
    settings = load_settings()
    params = UpdateParams(np.array(settings.strengths()), float(settings.dwell_saturation_ms), settings.pair_window)
    packed: list[bytes] = []
    for first in range(0, users, BATCH_USERS):
        n = min(BATCH_USERS, users - first)
        states = States(n)
        apply_events(states, _history(rng, n, items), params)
        # Where an event was says nothing in a topic that does not hold it; new events must not be taken for known ones.
        states.fence[:] = NEVER
        packed.extend(pack(states, np.arange(n)))
    return packed


def _history(rng: np.random.Generator, users: int, items: NDArray[np.uint64]) -> EventColumns:
    lengths = np.clip(np.rint(rng.lognormal(np.log(12), 1.2, users)), 1, 400).astype(np.int64)
    row = np.repeat(np.arange(users), lengths)
    n = len(row)
    time_ms = START_MS + rng.integers(0, SPAN_DAYS * DAY_MS, n)
    in_order = np.argsort(time_ms)
    share = 1.0 / np.arange(1, len(items) + 1) ** 0.8
    codes = np.array([ACTIONS.index(action) for action in SHARES], np.uint8)
    return EventColumns(
        row=row[in_order],
        offset=np.arange(n),
        time_ms=time_ms[in_order],
        item=items[rng.choice(len(items), n, p=share / share.sum())],
        action=rng.choice(codes, n, p=list(SHARES.values())),
        context=rng.integers(0, 8, n).astype(np.uint8),
        dwell=dwell_code(rng.integers(0, 60_000, n)),
        event_id=rng.integers(1, 1 << 24, n).astype(np.uint32),
        slot=rng.integers(0, 20, n).astype(np.uint8),
    )


# --- recovery ---


def _recovery(broker: Broker, packed: Sequence[bytes], users: int, directory: Path) -> dict[str, float]:
    settings = _deployment(broker, "recovery", packed, users)
    produce(broker.bootstrap_servers, settings.topic_items, catalogue())
    worker = Worker(settings, directory / "recovery")
    try:
        recovery_s = _seconds_to_serving(worker, settings, users, seed=1)
        rss_mib = worker.rss_mib()
        worker.stop()
        warm_start_s = _seconds_to_serving(worker, settings, users, seed=2)
    finally:
        worker.close()
    disk = sum(path.stat().st_size for path in worker.data_dir.rglob("*") if path.is_file())
    return {
        "users": float(users),
        "recovery_s": recovery_s,
        "recovery_users_per_s": users / recovery_s,
        "warm_start_s": warm_start_s,
        "recovered_rss_mib": rss_mib,
        "disk_bytes_per_user": disk / users,
    }


def _seconds_to_serving(worker: Worker, settings: Settings, users: int, seed: int) -> float:
    """From starting the process until everyone who has sent an event just before has a list."""
    produce(settings.bootstrap_servers, settings.topic_events, spread_events(PROBES, users, seed))
    started = worker.start()
    return (
        worker.wait_for("lists for new events", lambda: worker.total("penchant_recommendations_total") >= PROBES)
        - started
    )


def _deployment(broker: Broker, prefix: str, packed: Sequence[bytes], users: int, **overrides: object) -> Settings:
    settings = settings_of(broker.bootstrap_servers, prefix, **overrides)
    create_topics(settings)
    produce(broker.bootstrap_servers, settings.changelog_topic, changelog(packed, users))
    return settings


# --- cost ---


def _costs(
    broker: Broker, packed: Sequence[bytes], options: argparse.Namespace, directory: Path
) -> dict[str, dict[float, float]]:
    """Processor time per event in us by users in state; `""`: always as many of them active, `"_all_active"`: all."""
    costs: dict[str, dict[float, float]] = {"": {}, "_all_active": {}} if options.cost_events else {}
    for users in STATES if costs else ():
        if users > options.users:
            continue
        prefix = f"cost-{users}"
        overrides: dict[str, object] = {"recommend": False} if can_switch_recommending_off() else {}
        settings = _deployment(broker, prefix, packed, users, **overrides)
        with Worker(settings, directory / prefix) as worker:
            for suffix, active in (("", min(ACTIVE, users)), ("_all_active", users)):
                loads = (
                    spread_events(n, active, seed, stride=users // active)
                    for seed, n in enumerate((options.cost_events // 10, options.cost_events))
                )
                _applied(worker, settings, next(loads))  # warm
                costs[suffix][users] = _applied(worker, settings, next(loads)) / options.cost_events * 1e6
    return costs


def _applied(worker: Worker, settings: Settings, events: Iterator[tuple[bytes, bytes]]) -> float:
    """Processor seconds that the worker uses until these events are committed."""
    before = worker.cpu_s()
    produce(settings.bootstrap_servers, settings.topic_events, events)
    _wait_committed(worker, settings)
    return worker.cpu_s() - before


def _wait_committed(worker: Worker, settings: Settings, each: Callable[[], None] = lambda: None) -> None:
    with GroupOffsets(settings.bootstrap_servers, settings.group_id, settings.topic_events) as offsets:
        total = offsets.total()

        def done() -> bool:
            each()
            return offsets.committed() >= total and worker.owes_nothing()

        worker.wait_for("all events to be committed", done)


# --- memory ---


def _memory(broker: Broker, users: int, directory: Path) -> dict[str, float]:
    overrides: dict[str, object] = {"recommend": False} if can_switch_recommending_off() else {}
    settings = settings_of(broker.bootstrap_servers, "memory", **CACHES, **overrides)
    create_topics(settings)
    seen: list[float] = []
    rss_mib: list[float] = []
    with Worker(settings, directory / "memory") as worker:

        def sample() -> None:
            applied = worker.applied()
            if applied > 0:
                seen.append(applied)
                rss_mib.append(worker.rss_mib())

        for first in range(0, users, PASSING_BLOCK):
            block = passing_users(first, min(PASSING_BLOCK, users - first))
            produce(broker.bootstrap_servers, settings.topic_events, block)
            sample()
        _wait_committed(worker, settings, sample)
    plots.memory(seen, rss_mib)
    return {
        "memory_users": float(users),
        "memory_max_mib": max(rss_mib),
        "memory_growth_mib_per_million_users": growth(seen, rss_mib) * 1e6,
    }


def _say(line: str) -> None:
    sys.stderr.write(f"recovery: {line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=recovery ARGS=")
    parser.add_argument("--users", type=int, default=1_000_000, help="users in the changelog")
    parser.add_argument("--cost-events", type=int, default=200_000, help="events for each cost; 0 = without")
    parser.add_argument(
        "--passing-users",
        type=int,
        default=2_000_000,
        help="users that pass through; 10000000 takes 5 times as long; 0 = without",
    )
    return parser.parse_args(arguments)

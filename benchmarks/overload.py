"""What becomes of freshness when there is more to do than can be done: a worker at 50, 90, 150 and 300 % of its capacity, and
back.

Capacity is measured first: lists per second while more events come than can be answered. Then one producer process sends on a
fixed schedule through all stages without a pause; an event's latency runs from when it was due to the broker's own timestamp
of the first list of its user that reflects it (see `latency`). Twice: with `list_deadline_s`, and without one
(`.._without_deadline`).

- `lists_per_s_at_N`: lists published during the stage at N %.
- `in_time_at_N`: share of the stage's events whose list came within the deadline.
- `p50_ms_at_N`, `p99_ms_at_N`: of all lists published in the stage for events that were not owed a list, by the worker's own
  histogram.
- `answered_in_time_at_N`: share of these lists that came within the deadline, by the same histogram: of its bounds, the first
  that is no less.
- `median_ms_at_N`: over all events of the stage, however late; infinite where there was no list by the end.
- `late_at_N`, `owed_at_N`: lists that became late in the stage, and users owed one at its end.
- `lag_records_max_at_N`: most events not yet read, of the same readings.
- `all_answered_after_s`: from the end of the load until nobody is owed a list.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import plots
from benchmarks.kafka import TIMEOUT_S, Broker, configure_topic, local_kafka
from benchmarks.latency import log_ends, read_lists
from benchmarks.load import Load, running_load
from benchmarks.measure import answer_latencies_ms, histogram_percentile
from benchmarks.processes import ROOT, Worker, settings_of, sum_of, wait_until_done
from benchmarks.workload import catalogue, produce, spread_events
from stream.kafka.topics import create_topics
from stream.settings import Settings

STAGES = {"50": 0.5, "90": 0.9, "150": 1.5, "300": 3.0, "50_again": 0.5}
GUESS_PER_S = 2_000.0
"""More lists per second than one core makes, to measure what it does make."""

TOO_MUCH = 1.5
"""Of what was made at that rate, to measure it again with less to read beside."""

READ_EVERY_S = 0.5
LISTS = "penchant_recommendations_total"
FRESHNESS = "penchant_event_to_recommendation_seconds"


class Reading(NamedTuple):
    """The worker's metrics at a moment, in ms since 1970."""

    at_ms: float
    samples: dict[str, float]


class Driven(NamedTuple):
    """What one worker made of all stages."""

    figures: dict[str, float]
    due_s: NDArray[np.float64]
    """When each event was due, from the beginning of the load."""
    latency_s: NDArray[np.float64]


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    figures: dict[str, float] = {}
    drawn: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        for name, deadline_s in _variants(options).items():
            driven = _drive(broker, name, deadline_s, options, Path(directory))
            suffix = "" if name == "with_deadline" else f"_{name}"
            figures |= {f"{figure}{suffix}": value for figure, value in driven.figures.items()}
            drawn[name] = driven.due_s, driven.latency_s
            options.capacity = driven.figures["capacity_lists_per_s"]  # the same load for the next
    plots.overload(drawn, STAGES, options.seconds, options.deadline)
    return figures


def _variants(options: argparse.Namespace) -> dict[str, float | None]:
    """Deadline by name, s; None: a worker that knows of none."""
    if options.worker_root != ROOT:
        return {"of_worker_root": None}
    return {"with_deadline": options.deadline, "without_deadline": 0.0}


def _drive(broker: Broker, name: str, deadline_s: float | None, options: argparse.Namespace, directory: Path) -> Driven:
    given = {} if deadline_s is None else {"list_deadline_s": deadline_s}
    settings = settings_of(broker.bootstrap_servers, name, **given)
    create_topics(settings)
    configure_topic(
        broker.bootstrap_servers,
        settings.topic_recommendations,
        {"message.timestamp.type": "LogAppendTime", "min.compaction.lag.ms": "86400000"},  # it would drop answers
    )
    produce(broker.bootstrap_servers, settings.topic_items, catalogue())
    history = spread_events(options.users * options.behaviours, options.users)
    produce(broker.bootstrap_servers, settings.topic_events, history)
    with Worker(settings, directory / name, options.worker_root) as worker:
        wait_until_done(worker, settings)
        capacity = options.capacity or _capacity(worker, settings, options, directory)
        _say(f"{name}: {capacity:.0f} lists/s")
        return _through_stages(worker, settings, capacity, options, directory)


def _capacity(worker: Worker, settings: Settings, options: argparse.Namespace, directory: Path) -> float:
    """Lists per second while there is always more to do, but not so much more that reading it takes time from lists."""
    rough = _lists_per_s(worker, settings, GUESS_PER_S, 1, options, directory)
    return _lists_per_s(worker, settings, TOO_MUCH * rough, 2, options, directory)


def _lists_per_s(
    worker: Worker, settings: Settings, rate: float, seed: int, options: argparse.Namespace, directory: Path
) -> float:
    with _load(settings, [rate], options.capacity_seconds, seed, options, directory) as load:
        time.sleep(options.capacity_seconds / 4)  # until a backlog has formed
        began, before = time.monotonic(), worker.total(LISTS)
        time.sleep(options.capacity_seconds / 2)
        per_s = (worker.total(LISTS) - before) / (time.monotonic() - began)
        load.events()
    wait_until_done(worker, settings)
    return per_s


def _through_stages(
    worker: Worker, settings: Settings, capacity: float, options: argparse.Namespace, directory: Path
) -> Driven:
    starts = log_ends(settings, settings.topic_recommendations)
    readings: list[Reading] = []
    rates = [share * capacity for share in STAGES.values()]
    with _load(settings, rates, options.seconds, 3, options, directory) as load:
        while load.is_running:
            readings.append(Reading(time.time() * 1000, worker.samples()))
            time.sleep(READ_EVERY_S)
        events, ended = load.events(), time.monotonic()
    all_answered = wait_until_done(worker, settings, TIMEOUT_S * 5)
    lists, _ = read_lists(settings, starts)
    due_s = (events.due_ms - load.started_ms) / 1000
    latency_s = answer_latencies_ms(events, lists) / 1000
    figures = {"capacity_lists_per_s": capacity, "all_answered_after_s": all_answered - ended}
    figures["unanswered"] = float((~np.isfinite(latency_s)).sum())
    for i, stage in enumerate(STAGES):
        begin_s, end_s = i * options.seconds, (i + 1) * options.seconds
        ofs = (due_s >= begin_s) & (due_s < end_s)
        appended_s = (lists.appended_ms - load.started_ms) / 1000
        inside = [r for r in readings if begin_s <= (r.at_ms - load.started_ms) / 1000 <= end_s]
        figures |= {
            f"events_per_s_at_{stage}": float(ofs.sum()) / options.seconds,
            f"lists_per_s_at_{stage}": float(((appended_s >= begin_s) & (appended_s < end_s)).sum()) / options.seconds,
            f"in_time_at_{stage}": float((latency_s[ofs] <= options.deadline).mean()),
            f"median_ms_at_{stage}": 1000 * float(np.sort(latency_s[ofs])[int(ofs.sum()) // 2]),
            **{
                f"{name}_at_{stage}": value
                for name, value in _by_worker(inside, settings.topic_events, options.deadline).items()
            },
        }
    return Driven(figures, due_s, latency_s)


def _by_worker(readings: Sequence[Reading], events_topic: str, deadline_s: float) -> dict[str, float]:
    """What the worker's metrics say of the time between the first and the last reading."""
    first, last = readings[0].samples, readings[-1].samples
    bounds, counts = zip(*_buckets(first, last), strict=True)
    return {
        "p50_ms": 1000 * histogram_percentile(bounds, counts, 50),
        "p99_ms": 1000 * histogram_percentile(bounds, counts, 99),
        "answered_in_time": next(n for bound, n in zip(bounds, counts, strict=True) if bound >= deadline_s)
        / counts[-1],
        "late": sum_of(last, "penchant_lists_late_total") - sum_of(first, "penchant_lists_late_total"),
        "owed": sum_of(last, "penchant_owed_users"),
        "lag_records_max": max(_lag(r.samples, events_topic) for r in readings),
    }


def _buckets(first: dict[str, float], last: dict[str, float]) -> list[tuple[float, float]]:
    """`(upper bound, lists up to it)` of freshness between two readings."""
    found = {name: re.fullmatch(FRESHNESS + r'_bucket\{le="(.+)"\}', name) for name in last}
    return sorted(
        (math.inf if of[1] == "+Inf" else float(of[1]), last[name] - first.get(name, 0.0))
        for name, of in found.items()
        if of
    )


def _lag(samples: dict[str, float], topic: str) -> float:
    of_topic = f'topic="{topic}"'
    return sum(v for name, v in samples.items() if name.startswith("penchant_lag_records") and of_topic in name)


def _load(
    settings: Settings, rates: Sequence[float], seconds: float, seed: int, options: argparse.Namespace, directory: Path
) -> AbstractContextManager[Load]:
    out = directory / f"{settings.group_id}-{seed}.npz"
    return running_load(settings.bootstrap_servers, settings.topic_events, rates, seconds, options.users, seed, out)


def _say(line: str) -> None:
    sys.stderr.write(f"overload: {line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=overload ARGS=")
    parser.add_argument("--users", type=int, default=20_000, help="users, each with a history")
    parser.add_argument("--behaviours", type=int, default=12, help="of each of them before the load")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each stage")
    parser.add_argument("--deadline", type=float, default=2.0, help="list_deadline_s")
    parser.add_argument("--capacity", type=float, help="lists/s to take for the capacity instead of measuring it")
    parser.add_argument("--capacity-seconds", type=float, default=8.0, help="length of the load that measures it")
    parser.add_argument(
        "--worker-root", type=Path, default=ROOT, help="checkout of an older worker, to be driven in place of this one"
    )
    return parser.parse_args(arguments)

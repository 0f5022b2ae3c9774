"""One worker and two on this machine, keeping users' states: what a second one adds, and what stands in its way.

All events lie in the topic before the workers start. `workers_N_events_per_s`: all workers together, while each of them is at
work: from the last one's first event to the first one's last, so that neither joining the group nor an uneven end counts.
`workers_N_cpu_cores` and `broker_cpu_cores_with_N` say how many processor cores were busy with them in that time. Where these
sum to the cores of the machine, the machine is the limit, and another one is what helps.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.kafka import Broker, GroupOffsets, local_kafka
from benchmarks.measure import Reading, steady_events_per_s, steady_window
from benchmarks.processes import Worker, can_switch_recommending_off, settings_of
from benchmarks.workload import events, produce
from stream.kafka.topics import create_topics
from stream.settings import Settings

WORKERS = (1, 2)
TIMEOUT_S = 400.0
POLL_S = 0.1


class _Usage(NamedTuple):
    """Processor seconds so far."""

    workers_s: float
    broker_s: float


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    overrides: dict[str, object] = {"recommend": False} if can_switch_recommending_off() else {}
    if not overrides:
        sys.stderr.write(
            "scaling: this worker has no setting `recommend`: the job includes statistics, lists and reasons\n"
        )
    figures: dict[str, float] = {}
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        for n in WORKERS:
            settings = settings_of(broker.bootstrap_servers, f"workers-{n}", **overrides)
            create_topics(settings)
            produce(broker.bootstrap_servers, settings.topic_events, events(options.events))
            figures |= _measure(n, settings, broker, Path(directory))
    figures["two_over_one"] = figures["workers_2_events_per_s"] / figures["workers_1_events_per_s"]
    figures["machine_cores"] = float(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return figures


def _measure(n: int, settings: Settings, broker: Broker, directory: Path) -> dict[str, float]:
    readings: list[Reading] = []
    usage: list[_Usage] = []
    with (
        GroupOffsets(settings.bootstrap_servers, settings.group_id, settings.topic_events) as offsets,
        ExitStack() as started,
    ):
        workers = [started.enter_context(Worker(settings, directory / f"{n}-{i}")) for i in range(n)]
        total = offsets.total()
        deadline = time.monotonic() + TIMEOUT_S
        while offsets.committed() < total:
            for worker in workers:
                worker.check("everything was committed")
            applied = tuple(worker.applied() for worker in workers)
            readings.append(Reading(time.monotonic(), applied))
            usage.append(_Usage(sum(worker.cpu_s() for worker in workers), broker.cpu_s()))
            if time.monotonic() > deadline:
                raise RuntimeError(f"{n} workers did not finish within {TIMEOUT_S:g} s")
            time.sleep(POLL_S)
    begin, end = steady_window(readings)
    seconds = readings[end].at_s - readings[begin].at_s
    return {
        f"workers_{n}_events_per_s": steady_events_per_s(readings),
        f"workers_{n}_cpu_cores": (usage[end].workers_s - usage[begin].workers_s) / seconds,
        f"broker_cpu_cores_with_{n}": (usage[end].broker_s - usage[begin].broker_s) / seconds,
    }


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=scaling ARGS=")
    parser.add_argument("--events", type=int, default=1_500_000, help="events in the topic")
    return parser.parse_args(arguments)

"""From an event to the recommendation that reflects it, both on their topics, under open-loop load; and through failures.

A producer process sends events on a fixed schedule; latency runs from when an event was due, not from when it was sent, to the
broker's own timestamp (LogAppendTime) of the first list of that user that reflects it. Every event is of another user than the
ones shortly before it, so each asks for a list of its own.

- `peak_users_per_s`: the highest rate tried at which the users waiting for a list do not pile up.
- `p50_ms_at_half` and so on: percentiles at 10, 50 and 90 % of it, over all events of the phase.
- `rebalance_..`: at half the peak a second worker joins; over events due from its start to the end of the phase.
- `death_..`: two workers, one is killed with SIGKILL; over events due from then to the end of the phase.
- `.._longest_gap_ms`: longest time, in the worst partition, without any list.

An event that was never answered counts as late as it was waited for, and is counted in `unanswered`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks import plots
from benchmarks.kafka import TIMEOUT_S, Broker, configure_topic, local_kafka
from benchmarks.load import Load, running_load
from benchmarks.measure import (
    Events,
    Lists,
    answer_latencies_ms,
    is_sustained,
    longest_gap_ms,
    percentiles,
)
from benchmarks.processes import Worker, settings_of, sum_of, wait_until_done
from benchmarks.refresh import burst_rate
from benchmarks.workload import catalogue, produce, spread_events
from stream.kafka.log_ends import log_bounds
from stream.kafka.topics import create_topics
from stream.settings import Settings

LOADS = {"tenth": 0.1, "half": 0.5, "nine_tenths": 0.9}
HIGHEST_OF_BURST = 1.1
LOWEST_OF_BURST = 0.15
STEP = 0.9
"""Each rate tried for the peak is so much of the one before."""

BEFORE_FAILURE_S = 5.0


class _Source(msgspec.Struct):
    partition: int
    offset: int


class _List(msgspec.Struct):
    source: _Source


class _Answered(NamedTuple):
    events: Events
    lists: Lists
    partition: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Of each list."""
    latencies_ms: np.ndarray[tuple[int], np.dtype[np.float64]]


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        settings = settings_of(broker.bootstrap_servers, "latency")
        create_topics(settings)
        configure_topic(
            broker.bootstrap_servers,
            settings.topic_recommendations,
            {"message.timestamp.type": "LogAppendTime", "min.compaction.lag.ms": "86400000"},  # it would drop answers
        )
        produce(broker.bootstrap_servers, settings.topic_items, catalogue())
        produce(
            broker.bootstrap_servers,
            settings.topic_events,
            spread_events(options.users * options.behaviours, options.users),
        )
        bench = _Bench(broker, settings, options, Path(directory))
        with Worker(settings, Path(directory) / "first") as first:
            wait_until_done(first, settings)
            peak = options.peak or bench.find_peak(first)
            figures = {"peak_users_per_s": peak}
            for name, share in LOADS.items():
                figures |= _at(name, bench.measure(first, peak * share, options.seconds).latencies_ms)
            if options.failure_seconds:
                figures |= bench.measure_failures(first, peak / 2)
    figures["unanswered"] = float(bench.unanswered)
    plots.latency(figures, {name: share * peak for name, share in LOADS.items()})
    return figures


class _Bench:
    def __init__(self, broker: Broker, settings: Settings, options: argparse.Namespace, directory: Path) -> None:
        self._broker, self._settings, self._options, self._directory = broker, settings, options, directory
        self._seed = 1
        self.unanswered = 0

    def find_peak(self, worker: Worker) -> float:
        """Highest rate tried that is kept up with, from above what a burst of all users was drained at."""
        drained, _ = burst_rate(worker, self._settings, self._options.users)
        rate = drained * HIGHEST_OF_BURST
        while rate > drained * LOWEST_OF_BURST:
            waiting: list[float] = []
            with self._load(rate, self._options.peak_seconds) as load:
                while load.is_running:
                    waiting.append(self._waiting(worker))
                    time.sleep(0.25)
                load.events()
            wait_until_done(worker, self._settings)
            if is_sustained(waiting, rate):
                return rate
            _say(f"{rate:.0f} users/s are not kept up with")
            rate *= STEP
        raise RuntimeError("no rate was sustained: is the machine busy with something else?")

    def _waiting(self, worker: Worker) -> float:
        """Users whose event has no list yet, and events not yet read. Others, whose lists are made anew because something was
        learned, have what time is left: they are nothing that piles up."""
        samples = worker.samples()
        lag = (
            value
            for name, value in samples.items()
            if name.startswith("penchant_lag_records") and f'topic="{self._settings.topic_events}"' in name
        )
        users = (sum_of(samples, f"penchant_{what}_users") for what in ("refresh_event", "owed"))
        return sum(users) + sum(lag)

    def measure(
        self,
        worker: Worker,
        rate: float,
        seconds: float,
        interfere: Callable[[Load], Worker] | None = None,
    ) -> _Answered:
        """One phase of load; `interfere` is called while it runs and says which worker to watch from then on.

        Begins when nobody waits: what the last load taught makes lists new, and they would be load of their own.
        """
        worker.wait_for("the queue to be empty", lambda: worker.total("penchant_refresh_queue_users") == 0)
        starts = log_ends(self._settings, self._settings.topic_recommendations)
        with self._load(rate, seconds) as load:
            if interfere is not None:
                worker = interfere(load)
            events = load.events()
        try:
            wait_until_done(worker, self._settings, TIMEOUT_S)
        except RuntimeError as error:
            _say(f"some events wait for more than {TIMEOUT_S:g} s: {error}")
        waited_until_ms = time.time() * 1000
        lists, partition = read_lists(self._settings, starts)
        latencies_ms = answer_latencies_ms(events, lists)
        missing = ~np.isfinite(latencies_ms)
        self.unanswered += int(missing.sum())
        latencies_ms[missing] = waited_until_ms - events.due_ms[missing]
        return _Answered(events, lists, partition, latencies_ms)

    def measure_failures(self, first: Worker, rate: float) -> dict[str, float]:
        """A second worker joins; then the first one is killed."""
        seconds = self._options.failure_seconds
        second = Worker(self._settings, self._directory / "second")
        moment_ms: list[float] = []

        def join(load: Load) -> Worker:
            moment_ms.append(_sleep_until(load.started_ms + BEFORE_FAILURE_S * 1000))
            second.start()
            return first

        def kill(load: Load) -> Worker:
            moment_ms.append(_sleep_until(load.started_ms + BEFORE_FAILURE_S * 1000))
            first.kill()
            return second

        try:
            joined = self.measure(first, rate, seconds, join)
            figures = _after("rebalance", joined, moment_ms[0])
            second.wait_for("the second worker to have its partitions", lambda: second.total("penchant_partitions") > 0)
            died = self.measure(second, rate, seconds, kill)
            return figures | _after("death", died, moment_ms[1])
        finally:
            second.close()

    def _load(self, rate: float, seconds: float) -> AbstractContextManager[Load]:
        self._seed += 1
        return running_load(
            self._broker.bootstrap_servers,
            self._settings.topic_events,
            [rate],
            seconds,
            self._options.users,
            self._seed,
            self._directory / f"load-{self._seed}.npz",
        )


def _at(load: str, latencies_ms: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    return {f"{name}_ms_at_{load}": value for name, value in percentiles(latencies_ms).items()}


def _after(what: str, answered: _Answered, moment_ms: float) -> dict[str, float]:
    """Percentiles of the events due after the moment, and the longest silence of a partition until the load's end."""
    after = answered.events.due_ms >= moment_ms
    figures = {f"{what}_{name}_ms": value for name, value in percentiles(answered.latencies_ms[after]).items()}
    end_ms = float(answered.events.due_ms.max())
    gaps = [
        longest_gap_ms(answered.lists.appended_ms[answered.partition == p], moment_ms, end_ms)
        for p in np.unique(answered.partition).tolist()
    ]
    return figures | {f"{what}_longest_gap_ms": max(gaps)}


def _sleep_until(moment_ms: float) -> float:
    time.sleep(max(0.0, moment_ms / 1000 - time.time()))
    return time.time() * 1000


def log_ends(settings: Settings, topic: str) -> dict[int, int]:
    """End offset of each partition."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "bench-ends"})
    try:
        bounds = log_bounds(consumer, [(topic, p) for p in range(settings.partitions)], TIMEOUT_S)
        return {p: end for (_, p), (_, end) in bounds.items()}
    finally:
        consumer.close()


def read_lists(settings: Settings, starts: dict[int, int]) -> tuple[Lists, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Lists from `starts` to the end, and the events partition that each is of."""
    topic = settings.topic_recommendations
    left = {p: end for p, end in log_ends(settings, topic).items() if end > starts[p]}
    decoder = msgspec.json.Decoder(_List)
    rows: list[tuple[int, int, float, int]] = []
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "bench-read"})
    deadline = time.monotonic() + TIMEOUT_S
    try:
        consumer.assign([TopicPartition(topic, p, starts[p]) for p in left])
        while left and time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.5):
                if message.error() is not None:
                    raise RuntimeError(f"{topic} cannot be read: {message.error()}")
                source = decoder.decode(message.value()).source
                rows.append((int(message.key()[1:]), source.offset, float(message.timestamp()[1]), source.partition))
                if message.offset() + 1 >= left.get(message.partition(), sys.maxsize):
                    del left[message.partition()]
    finally:
        consumer.close()
    if left:
        raise RuntimeError(f"{topic} was not read within {TIMEOUT_S:g} s")
    columns = np.array(rows, float).reshape(-1, 4)
    user, offset, partition = (columns[:, i].astype(np.int64) for i in (0, 1, 3))
    return Lists(user, offset, columns[:, 2]), partition


def _say(line: str) -> None:
    sys.stderr.write(f"latency: {line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=latency ARGS=")
    parser.add_argument("--users", type=int, default=10_000, help="users, each with a history")
    parser.add_argument("--behaviours", type=int, default=20, help="of each of them before the load")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase of load")
    parser.add_argument("--peak", type=float, help="users/s to take for the peak instead of looking for it")
    parser.add_argument("--peak-seconds", type=float, default=8.0, help="length of each try for the peak")
    parser.add_argument("--failure-seconds", type=float, default=40.0, help="length of the failure phases; 0 = without")
    return parser.parse_args(arguments)

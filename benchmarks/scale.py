"""A large installation on one machine, beside a small one in the same run: what grows with items and users, and what does not.

Each size has an Apache Kafka of its own, one after another: `small`, `large` (`--users`, `--items`, statistics of three tenths
of them), `small_again`; with `--sizes` also `tenth`, a tenth of the large one. Partitions, active users and load are the same,
so that what differs is size. States and statistics are not made by a worker: they are packed by its own code and produced to
the topics that it recovers from. Figures are of one worker, `SIZE_` before each:

- `recovery_..`: from starting the process with an empty disk to a list for each of `PROBES` users with new events; `warm_..`:
  the same after a clean stop, with what is on the disk. In `.._read_s` of it catalogue and statistics are read, before the
  worker joins; `.._join_s` is from then on. `.._settled_s`: until nothing waits any more.
- `.._reading_step_ms`: longest step of the event loop while catalogue and statistics are read, in time of the processor;
  `.._wall_ms` of the same step by the clock, which has what it waited for. `.._joining_step_..`: from then until it serves.
- `events_per_s`, `lists_per_s`: `--events` users send one event each at once; until all is committed and nobody is owed a list.
- `p50_ms`, `p99_ms`: open loop at `--rate` events/s, from when an event was due to the first list that reflects it;
  `commit_..`: of the commits in this time.
- `again_..`: the same while the whole catalogue is produced again, every item changed.
- `memory_PART_mib`: `penchant_memory_bytes`; `rss_mib`, `peak_mib`: of the process. `disk_mib`: its own; `broker_disk_mib`: of
  all topics.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.kafka import Broker, GroupOffsets, configure_topic, local_kafka
from benchmarks.large_world import changelog, descriptions, statistics
from benchmarks.latency import log_ends, read_lists
from benchmarks.load import running_load
from benchmarks.loop_steps import READ_BEGINS, READ_ENDS, Step, longest, moment, read_steps
from benchmarks.measure import answer_latencies_ms, histogram_percentile, percentiles
from benchmarks.processes import Worker, settings_of, sum_of, wait_until_done
from benchmarks.recovery import make_states
from benchmarks.workload import produce, spread_events
from stream.kafka.topics import create_topics
from stream.metrics import Metrics
from stream.settings import Settings, load_settings
from stream.worker.tracker import Tracker

TEMPLATES = 20_000
"""Different states that are made; users beyond that have the same ones again."""

STATISTICS_SHARE = 0.3
PROBES = 256
"""Users whose events wait when a worker starts: each partition has some."""

POLL_S = 0.5
"""Between two looks at a worker's metrics: with 256 partitions these are 2,000 lines, which a worker writes while it starts."""

QUIET_S = 600.0
SHOWN_STEPS = 4
COMMITS = "penchant_commit_duration_seconds"
SMALL_USERS, SMALL_ITEMS = 100_000, 10_000


class Size(NamedTuple):
    """How large an installation is."""

    users: int
    items: int

    @property
    def known(self) -> int:
        """Items with statistics: the first ones."""
        return max(2, int(self.items * STATISTICS_SHARE))


def sizes_of(names: Sequence[str], users: int, items: int) -> dict[str, Size]:
    """What is measured, by name, in this order.

    Raises:
        ValueError: a name that is none.
    """
    large = Size(users, items)
    all_sizes = {
        "small": Size(min(SMALL_USERS, users), min(SMALL_ITEMS, items)),
        "tenth": Size(users // 10, items // 10),
        "large": large,
    }
    unknown = [name for name in names if name.removesuffix("_again") not in all_sizes]
    if unknown:
        raise ValueError(f"there is no size {unknown[0]!r}: {', '.join(all_sizes)}, each also with _again")
    return {name: all_sizes[name.removesuffix("_again")] for name in names}


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    Tracker(
        load_settings(encoder_model="none"), Metrics()
    ).warm_up()  # kept on the disk: no start that is measured compiles
    figures: dict[str, float] = {}
    for name, size in sizes_of(options.sizes.split(","), options.users, options.items).items():
        began = time.monotonic()
        measured = _measure(size, options)
        _say(f"{name}: {size.users} users, {size.items} items in {time.monotonic() - began:.0f} s")
        figures |= {f"{name}_{figure}": value for figure, value in measured.items()}
    return figures


def _measure(size: Size, options: argparse.Namespace) -> dict[str, float]:
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        settings = settings_of(
            broker.bootstrap_servers,
            "scale",
            partitions=options.partitions,
            item_partitions=options.item_partitions,
            connect_timeout_s=60.0,
        )
        produced_s = _produce_world(settings, size)
        bench = _Bench(broker, settings, size, options, Path(directory))
        figures = {"users": float(size.users), "items": float(size.items), "produced_s": produced_s}
        phases: list[Callable[[], dict[str, float]]] = [
            partial(bench.start, "recovery"),
            bench.burst,
            partial(bench.under_load, "", again=False),
            *([partial(bench.under_load, "again_", again=True)] if options.again else []),
            bench.stop,
            partial(bench.start, "warm"),
        ]
        try:
            for phase in phases:
                found = phase()
                _say(
                    json.dumps({name: round(value, 3) for name, value in found.items()})
                )  # not lost if a later one fails
                figures |= found
        finally:
            bench.worker.close()
        return figures


def _produce_world(settings: Settings, size: Size) -> float:
    """Everything that a worker finds; seconds."""
    began = time.monotonic()
    create_topics(settings)
    # The policy drops no list within the run, and the time of a list is the broker's.
    kept = {"message.timestamp.type": "LogAppendTime", "min.compaction.lag.ms": "86400000"}
    configure_topic(settings.bootstrap_servers, settings.topic_recommendations, kept)
    produce(settings.bootstrap_servers, settings.topic_items, descriptions(size.items))
    produce(settings.bootstrap_servers, settings.topic_item_stats, statistics(size.known))
    states = make_states(min(TEMPLATES, size.users), items_known=size.known)
    produce(settings.bootstrap_servers, settings.changelog_topic, changelog(states, size.users))
    gc.collect()
    return time.monotonic() - began


class _Bench:
    """One worker and its Kafka."""

    def __init__(
        self, broker: Broker, settings: Settings, size: Size, options: argparse.Namespace, directory: Path
    ) -> None:
        self._broker, self._settings, self._size, self._options = broker, settings, size, options
        self._directory, self._steps = directory, directory / "steps"
        self._active = min(options.active, size.users)
        self._seed = 0
        self.worker = Worker(settings, directory / "data", command=("-m", "benchmarks.loop_steps", str(self._steps)))

    # --- starts ---

    def start(self, name: str) -> dict[str, float]:
        """From starting the process until those who sent an event before have their lists; then until it has nothing to do."""
        probes = min(PROBES, self._active)
        self._send(probes)
        began = self.worker.start()
        self._wait("catalogue and statistics", lambda: moment(self._new_steps(began), READ_ENDS) is not None)
        served = self._wait("lists for new events", lambda: _event_lists(self.worker.samples()) >= probes)
        cpu_s, steps = self.worker.cpu_s(), self._new_steps(began)
        reads, joins = moment(steps, READ_BEGINS), moment(steps, READ_ENDS)
        assert reads is not None
        assert joins is not None
        self._settle()
        return {
            f"{name}_s": served - began,
            f"{name}_cpu_s": cpu_s,
            f"{name}_read_s": joins - reads,
            f"{name}_join_s": served - joins,
            f"{name}_settled_s": time.monotonic() - began,
            **_step_figures(f"{name}_reading", steps, reads, joins),
            **_step_figures(f"{name}_joining", steps, joins, served),
            f"{name}_peak_mib": self.worker.peak_mib(),
            f"{name}_rss_mib": self.worker.rss_mib(),
            **{f"{name}_memory_{part}_mib": value for part, value in _memory_mib(self.worker.samples()).items()},
        }

    def stop(self) -> dict[str, float]:
        """A clean stop, and what is on disks then."""
        began = time.monotonic()
        self.worker.stop()
        stopped_s = time.monotonic() - began
        logs = Path(psutil.Process(self._broker.pid).cmdline()[-1]).parent
        return {
            "stop_s": stopped_s,
            "disk_mib": _disk_mib(self.worker.data_dir),
            "broker_disk_mib": _disk_mib(logs),
        }

    # --- load ---

    def burst(self) -> dict[str, float]:
        """As many events as can be done, each of another user."""
        events = min(self._options.events, self._active)
        worker, before = self.worker, self.worker.samples()
        cpu_s = worker.cpu_s()
        self._send(events)
        began = time.monotonic()
        with GroupOffsets(self._settings.bootstrap_servers, self._settings.group_id, self._settings.topic_events) as at:
            total = at.total()
            # In this order: the commit of an event may leave its user owed a list.
            done = self._wait("the burst", lambda: at.committed() >= total and worker.owes_nothing())
        after = worker.samples()
        lists = _event_lists(after) - _event_lists(before)
        figures = {
            "events_per_s": events / (done - began),
            "lists_per_s": lists / (done - began),
            "cpu_ms_per_list": 1000 * (worker.cpu_s() - cpu_s) / lists,
            **_commits("burst_", before, after),
        }
        self._settle()
        return figures

    def under_load(self, prefix: str, *, again: bool) -> dict[str, float]:
        """Open loop; `again`: while the catalogue is produced once more."""
        options, settings, worker = self._options, self._settings, self.worker
        starts = log_ends(settings, settings.topic_recommendations)
        self._seed += 1
        before, cpu_s, began = worker.samples(), worker.cpu_s(), time.monotonic()
        with running_load(
            settings.bootstrap_servers, settings.topic_events, [options.rate], options.seconds, self._active,
            self._seed, self._directory / f"load-{self._seed}.npz", self._size.known,
        ) as load:  # fmt: skip
            if again:
                produce(settings.bootstrap_servers, settings.topic_items, descriptions(self._size.items, changed=True))
            events = load.events()
        ended = time.monotonic()
        after = worker.samples()
        used_s = worker.cpu_s() - cpu_s
        self._settle()
        lists, _ = read_lists(settings, starts)
        latencies = percentiles(answer_latencies_ms(events, lists))
        steps = read_steps(self._steps, began)
        return {
            **{f"{prefix}{name}_ms": latencies[name] for name in ("p50", "p99", "max")},
            f"{prefix}rate_per_s": options.rate,
            f"{prefix}cpu_share": used_s / (ended - began),
            **_commits(prefix, before, after),
            **_step_figures(f"{prefix}load", steps, began, ended),
        }

    # --- common ---

    def _send(self, n: int) -> None:
        self._seed += 1
        events = spread_events(n, self._active, self._seed, time.time_ns() // 1_000_000, items_known=self._size.known)
        produce(self._settings.bootstrap_servers, self._settings.topic_events, events)

    def _settle(self) -> None:
        """Until nothing waits: lists made anew for what was learned would be load of the next phase."""
        wait_until_done(self.worker, self._settings, QUIET_S)
        self._wait("the queue to be empty", lambda: self.worker.total("penchant_refresh_queue_users") == 0)

    def _wait(self, what: str, condition: Callable[[], bool]) -> float:
        return self.worker.wait_for(what, condition, QUIET_S, POLL_S)

    def _new_steps(self, since: float) -> list[Step]:
        return read_steps(self._steps, since)


def _event_lists(samples: dict[str, float]) -> float:
    return sum(
        value
        for name, value in samples.items()
        if name.startswith("penchant_recommendations_total") and 'trigger="event"' in name
    )


def _step_figures(name: str, steps: Sequence[Step], since: float, until: float) -> dict[str, float]:
    found = longest(steps, since, until)
    for each in found[:SHOWN_STEPS]:
        _say(f"{name}: {each.cpu_ms:.0f} ms ({each.wall_ms:.0f} ms by the clock), {each.what}")
    step = found[0] if found else Step(since, "")
    return {f"{name}_step_ms": step.cpu_ms, f"{name}_step_wall_ms": step.wall_ms}


def _commits(prefix: str, before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Mean and p99 of the commits between two looks at the metrics, ms."""
    sums = [sum_of(each, f"{COMMITS}_sum") for each in (before, after)]
    counts = [sum_of(each, f"{COMMITS}_count") for each in (before, after)]
    n = counts[1] - counts[0]
    if not n:
        return {f"{prefix}commits": 0.0}
    buckets = bucket_counts(after, COMMITS)
    earlier = bucket_counts(before, COMMITS)
    more = [count - earlier.get(bound, 0.0) for bound, count in buckets.items()]
    return {
        f"{prefix}commits": n,
        f"{prefix}commit_mean_ms": 1000 * (sums[1] - sums[0]) / n,
        f"{prefix}commit_p99_ms": 1000 * histogram_percentile(list(buckets), more, 99),
    }


def bucket_counts(samples: dict[str, float], histogram: str) -> dict[float, float]:
    """Cumulative counts of a histogram without labels by upper end, ascending."""
    begins = f'{histogram}_bucket{{le="'
    found = {
        float(name.removeprefix(begins).removesuffix('"}')): value
        for name, value in samples.items()
        if name.startswith(begins)
    }
    return dict(sorted(found.items()))


def _memory_mib(samples: dict[str, float]) -> dict[str, float]:
    begins = 'penchant_memory_bytes{part="'
    return {
        name.removeprefix(begins).removesuffix('"}'): value / 2**20
        for name, value in samples.items()
        if name.startswith(begins)
    }


def _disk_mib(directory: Path) -> float:
    """Blocks in use: index files of Kafka are large and mostly holes."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file()) / 2**20


def _say(line: str) -> None:
    sys.stderr.write(f"scale: {line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=scale ARGS=")
    parser.add_argument("--users", type=int, default=10_000_000, help="users of the large size")
    parser.add_argument("--items", type=int, default=1_000_000, help="items of its catalogue")
    parser.add_argument("--active", type=int, default=100_000, help="users that events are of, of each size")
    parser.add_argument("--partitions", type=int, default=256, help="of every topic, of each size")
    parser.add_argument(
        "--item-partitions", type=int, default=0, help="of the item topics; 0 = as a worker's own setting says"
    )
    parser.add_argument("--events", type=int, default=20_000, help="events that come at once")
    parser.add_argument("--rate", type=float, default=100.0, help="events/s of the latency part")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the latency part")
    parser.add_argument("--sizes", default="small,large,small_again", help="in this order; tenth is another")
    parser.add_argument("--again", action="store_true", help="also produce the catalogue again under load")
    return parser.parse_args(arguments)

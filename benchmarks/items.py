"""Engagements per second of one processor through the item path, stage by stage; in this process, without Kafka.

- `deltas`: what a commit of users says of items (`UserPartition.take_deltas`); `apply`: added to item records
  (`ItemPartition.apply`, in the slices of a worker); `records`: what a commit of items writes (`take`); `replica`: into the
  arrays that rank (`Knowledge.replicate_stats`, in batches of 500 as they are read). `engagements_per_cpu_s` is all together.
- Users' histories are up to 30 items long. Items are drawn with a tail as in shops, so records soon have all neighbours.
- `--catalogue N` instead: N items of a catalogue and statistics of a tenth of them, with a few neighbours each, are read in
  the batches of a worker; then what leads, and the impersonal part of scores. `.._max_ms` is the longest that the event loop
  would stand still for one of them, in time of the processor; `.._mib` memory afterwards.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.large_world import descriptions
from benchmarks.workload import FIRST_EVENT_MS, ITEMS
from models.hashing import item_hash
from models.items.catalog import Catalog
from models.items.co_occurrence import moment_bins
from models.items.index import ItemIndex
from models.items.priors import SLICE_ITEMS, compute_priors
from models.items.record import ENTRY_DAYS, MOMENTS, TREND_DAYS, RecordColumns, pack_records
from models.items.stats import ItemStatistics
from models.items.warm_up import warm_up
from models.ranking.features import items_of
from models.ranking.moment import Moments
from models.ranking.weights import default_weights
from stream.kafka.replica import BATCH_RECORDS, Replicated
from stream.metrics import Metrics
from stream.params import decode_limits
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.refresh.knowledge import Knowledge
from stream.settings import Settings, load_settings
from stream.state.update import Changes
from stream.storage.rocks import DataDirectory

PARTITION = 0
DELTAS_AT_ONCE = 400
"""About what a worker applies at a time, in two milliseconds."""

COMMIT_S = 1.0


class _Record(NamedTuple):
    """What an item partition reads of a Kafka record."""

    key: bytes
    value: bytes


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    if options.catalogue:
        return _catalogue(options.catalogue)
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        return _engagements(options, Path(directory))


# --- engagements


class _Clock:
    """Processor seconds by stage."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens inside counts to this stage."""
        before = time.process_time()
        yield
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - before


class _Path:
    """User side, item side and replica of one worker, one partition each."""

    def __init__(self, settings: Settings, data_dir: Path) -> None:
        self._settings = settings
        self._data = DataDirectory(data_dir, settings.block_cache_bytes, settings.write_buffer_bytes)
        self._stores = self._data.stores("users"), self._data.stores("items")
        self._users = UserPartition(PARTITION, self._stores[0][PARTITION])
        self._items = ItemPartition(self._stores[1][PARTITION], settings.neighbours_max)
        self._knowledge = Knowledge(decode_limits(settings), settings.neighbours_max, Metrics())
        self.hashes = np.array([self._knowledge.names.hash_of(f"i{n}") for n in range(ITEMS)], np.uint64)
        self._offset = self._commits = 0
        self.clock = _Clock()
        self.deltas = self.delta_bytes = self.records = self.record_bytes = 0

    def commit(self, changes: Changes) -> None:
        """What one commit of users says goes all the way."""
        settings, clock = self._settings, self.clock
        self._offset += len(changes.first_item)
        self._users.next_offset = self._offset
        self._users.collect(changes)
        with clock.stage("deltas"):
            deltas = self._users.take_deltas(settings.pair_decay, settings.forward_decay, self._knowledge.names)
        self.deltas += len(deltas)
        self.delta_bytes += sum(len(value) for _, value in deltas)
        records: list[Any] = [_Record(*delta) for delta in deltas]
        with clock.stage("apply"):
            for start in range(0, len(records), DELTAS_AT_ONCE):
                self._items.apply(records[start : start + DELTAS_AT_ONCE])
        self._commits += 1
        now_s = self._commits * COMMIT_S
        if not self._items.is_due(now_s):
            return
        with clock.stage("records"):
            taken = self._items.take(now_s).stored
        self.records += len(taken.keys)
        self.record_bytes += sum(map(len, taken.values))
        replicated = [Replicated(key, value, 0, 0, 0) for key, value in zip(*taken, strict=True)]
        with clock.stage("replica"):
            for start in range(0, len(replicated), BATCH_RECORDS):
                self._knowledge.replicate_stats(replicated[start : start + BATCH_RECORDS], "item-stats")

    def close(self) -> None:
        """Give the directory back."""
        for stores in self._stores:
            stores.close_all()
        self._data.close()


def _engagements(options: argparse.Namespace, data_dir: Path) -> dict[str, float]:
    settings, rng = load_settings(), np.random.default_rng(0)
    path = _Path(settings, data_dir)
    share = 1.0 / np.arange(1, ITEMS + 1) ** 0.8
    for _ in range(options.warm_commits):
        path.commit(_changes(rng, path.hashes, share / share.sum(), options.engagements, settings.pair_window))
    path.clock = _Clock()
    path.deltas = path.delta_bytes = path.records = path.record_bytes = 0
    for _ in range(options.commits):
        path.commit(_changes(rng, path.hashes, share / share.sum(), options.engagements, settings.pair_window))
    path.close()
    engagements = options.commits * options.engagements
    return {
        "engagements_per_cpu_s": engagements / sum(path.clock.cpu_s.values()),
        **{f"{name}_engagements_per_cpu_s": engagements / cpu_s for name, cpu_s in path.clock.cpu_s.items()},
        "engagements_per_commit": float(options.engagements),
        "deltas_per_engagement": path.deltas / engagements,
        "delta_bytes_per_engagement": path.delta_bytes / engagements,
        "records_per_engagement": path.records / engagements,
        "record_bytes_per_engagement": path.record_bytes / engagements,
    }


def _changes(
    rng: np.random.Generator, hashes: NDArray[np.uint64], share: NDArray[np.float64], n: int, window: int
) -> Changes:
    """First engagements of n users, who had 0 to `window` items before."""
    items = rng.choice(len(hashes), (n, window + 1), p=share)
    history = hashes[items[:, 1:]]
    history[np.arange(window) >= rng.integers(0, window + 1, n)[:, None]] = 0
    none, zeros = np.empty(0, np.uint64), np.zeros(n, np.int64)
    return Changes(
        rows=zeros, n_applied=n, n_fenced=0, n_repeats=0, applied=zeros == 0, first_item=hashes[items[:, 0]],
        first_time_ms=FIRST_EVENT_MS + np.arange(n), first_event=np.arange(n), first_context=zeros.astype(np.uint8),
        first_is_entry=np.logical_not(history.any(axis=1)), first_history=history, exposed_item=none, clicked_item=none,
    )  # fmt: skip


# --- a catalogue


def _catalogue(n: int) -> dict[str, float]:
    nothing = Catalog.empty(ItemIndex())
    warm_up()
    compute_priors(nothing, ItemStatistics(nothing.index, 1), candidates_each=1, new_items=1, now_ms=0)
    knowledge = Knowledge(decode_limits(load_settings()), load_settings().neighbours_max, Metrics())
    figures = {"items": float(n), "before_mib": _memory_mib()}
    figures |= _stalls("catalogue", (partial(knowledge.replicate_items, each) for each in _batches(descriptions(n))))
    figures["catalogue_mib"] = _memory_mib()
    statistics = _batches(_statistics(n, n // 10))
    figures |= _stalls("statistics", (partial(knowledge.replicate_stats, each, "item-stats") for each in statistics))
    figures["statistics_mib"] = _memory_mib()
    now_ms, weights = FIRST_EVENT_MS, default_weights()
    figures |= _stalls("priors", [partial(knowledge.priors, now_ms)])
    knowledge.stats.version += 1  # as after a record
    figures |= _stalls("priors_again", [partial(knowledge.priors, now_ms + 10**6)] * (2 + n // SLICE_ITEMS))
    shares = knowledge.priors(now_ms).moment_shares
    (bins,) = moment_bins(np.array([now_ms]), np.zeros(1, np.uint8))
    moments = Moments()
    Moments().at(items_of(nothing, ItemStatistics(nothing.index, 1)), shares, weights, now_ms, bins[:2])
    figures |= _stalls("items", [partial(items_of, knowledge.catalog, knowledge.stats)] * 5)
    items = items_of(knowledge.catalog, knowledge.stats)
    later = [partial(moments.at, items, shares, weights, now_ms + s, bins[:2]) for s in range(100)]
    figures |= _stalls("moment", later)
    return figures | {"ranked_mib": _memory_mib()}


def _stalls(name: str, slices: Iterable[Callable[[], object]]) -> dict[str, float]:
    """How long each takes, ms of this thread's processor time; what makes them is not counted."""
    taken = []
    for each in slices:
        before = time.thread_time()
        each()
        taken.append(1000.0 * (time.thread_time() - before))
    return {
        f"{name}_p50_ms": float(np.percentile(taken, 50)),
        f"{name}_p99_ms": float(np.percentile(taken, 99)),
        f"{name}_max_ms": max(taken),
        f"{name}_s": sum(taken) / 1000.0,
    }


def _memory_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _batches(records: Iterator[tuple[bytes, bytes]]) -> Iterator[list[Replicated]]:
    while batch := [Replicated(key, value, 0, 0, 0) for key, value in islice(records, BATCH_RECORDS)]:
        yield batch


def _statistics(n: int, known: int) -> Iterator[tuple[bytes, bytes]]:
    """Of `known` of n items, with 20 neighbours each."""
    rng = np.random.default_rng(0)
    hashes = np.array([item_hash(f"i{i}") for i in range(0, n, n // known)], np.uint64)
    for begin in range(0, known, BATCH_RECORDS):
        m = min(BATCH_RECORDS, known - begin)
        near = np.sort(hashes[(rng.integers(1, known // 20, (m, 20)).cumsum(axis=1) + begin) % known], axis=1)
        counts = rng.integers(1, 100, m)
        columns = RecordColumns(
            counts, np.full(m, FIRST_EVENT_MS), np.full(m, FIRST_EVENT_MS), rng.random((m, len(TREND_DAYS))) * 9,
            rng.random((m, len(ENTRY_DAYS))), counts, counts,
            rng.integers(0, 9, (m, MOMENTS)), 20 * np.arange(m + 1), near.reshape(-1), rng.random(20 * m),
            rng.random(20 * m), np.arange(m + 1), np.zeros(m, np.int64), np.arange(m),
        )  # fmt: skip
        for i, value in enumerate(pack_records(columns)):
            yield f"i{(begin + i) * (n // known)}".encode(), value


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=items ARGS=")
    parser.add_argument("--engagements", type=int, default=10_000, help="first engagements a commit")
    parser.add_argument("--commits", type=int, default=5, help="commits that are measured")
    parser.add_argument("--warm-commits", type=int, default=3, help="commits before them")
    parser.add_argument("--catalogue", type=int, default=0, help="items of a catalogue that is read instead")
    return parser.parse_args(arguments)

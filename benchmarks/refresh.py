"""Lists per second: 10,000 items with statistics, 20 places with their reasons, encoded as JSON.

In this process, without Kafka or other work. Users have 30 behaviours each and wait in line as they do after an event;
`refresh_batch_users` are ranked together, or six, as a worker with little to do has them.

- `lists_per_cpu_s`, `.._batch_6`: without text. `lists_per_cpu_s_text`, `.._text_batch_6`: the same where every item has a
  vector of 384 numbers, as the default encoder makes them. The vectors are drawn around 400 subjects: the cost depends on how
  many there are, not on what they say.
  What is near to each item is known by then: `near_row_us` is what it costs to find out, once an item that people meet.
- `bytes_per_list`, `records_per_list`: of a list and its reasons, in the world with text.
- `reasons_add`: what reasons add to a list, as a share of one without them, in the same run; also with three causes a
  place (`contributions_max`) and for a quarter of all users (`explained_users`). `text_adds`: what text adds.
- `outcomes_add`: what remembering the lists adds, for the outcomes that they may earn.
- `placement_adds`, `.._text`: what a placement with diversity, fatigue and exploration adds to a list;
  `placement_empty_adds`: one that does nothing, so what its larger pool costs.
- `experiment_adds`: what an experiment with two arms adds to a list of the former placement.
- `over_implicit`: lists per CPU second without text and reasons, over those of the library `implicit`'s item-item
  recommender for the same histories and items with as many neighbours an item, 64 users a call, one thread, in the same run;
  `over_implicit_20` with the 20 neighbours that it keeps by default. Left out where it is not installed
  (`pip install 'penchant[evaluate]'`). Its lists are dense ids with scores; ours are records of JSON.

Then a worker process on Kafka, `worker_users_per_s`: every user sends one more event, all at once; from the first list
published until the last. That includes reading and applying the events, publishing, and commits.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kafka import local_kafka
from benchmarks.measure import events_per_s
from benchmarks.processes import Worker, settings_of, sum_of, wait_until_done
from benchmarks.workload import FIRST_EVENT_MS, catalogue, produce, spread_events
from models.items.near import NO_LIMIT
from models.items.vectors import ItemVectors
from stream.kafka.replica import Replicated
from stream.kafka.topics import create_topics
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.settings import Settings, load_settings
from stream.settings.experiments import ExperimentSettings
from stream.settings.placements import PlacementSettings
from stream.storage.rocks import DataDirectory
from stream.worker.tracker import Tracker

PARTITION = 0
SUBJECTS, DIMS = 400, 384
IMPLICIT_NEIGHBOURS = 20
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


class Variant(NamedTuple):
    """A world, and how its users are refreshed."""

    settings: dict[str, object] = {}  # noqa: RUF012  (never written to)
    has_text: bool = False
    batch_users: int | None = None
    """None: as many as the settings say."""


_COMPOSED = PlacementSettings.model_validate(
    {"diversity": 0.3, "fatigue": 0.5, "explore": {"slots": 2, "from_place": 6, "rate": 0.5}}
)
"""Everything that a placement can do."""

_TWO_ARMS = ExperimentSettings.model_validate(
    {
        "arms": {"control": 0.5, "treatment": 0.5},
        "changes": {"treatment": {"home": {"diversity": 0.31}}},
    }
)
"""Arms that cost the same: what is left is what dividing people costs."""

VARIANTS: dict[str, Variant] = {
    "": Variant(),
    "_batch_6": Variant(batch_users=6),
    "_text": Variant(has_text=True),
    "_text_batch_6": Variant(has_text=True, batch_users=6),
    "_without_reasons": Variant({"explained_users": 0.0}),
    "_text_without_reasons": Variant({"explained_users": 0.0}, has_text=True),
    "_with_3_causes": Variant({"contributions_max": 3}),
    "_for_a_quarter_of_users": Variant({"explained_users": 0.25}),
    "_without_outcomes": Variant({"outcome_rule": "none"}),
    "_placement": Variant({"placements": {"home": _COMPOSED}}),
    "_text_placement": Variant({"placements": {"home": _COMPOSED}}, has_text=True),
    "_placement_empty": Variant({"placements": {"home": PlacementSettings.model_validate({})}}),
    "_experiment": Variant({"placements": {"home": _COMPOSED}, "experiments": {"two": _TWO_ARMS}}),
}
"""By what the figure's name ends with."""


def _in_process(options: argparse.Namespace, data_dir: Path) -> dict[str, float]:
    settings = load_settings()
    worlds = {
        name: _World(settings.model_copy(update=of.settings), data_dir / f"world{name}", options, of)
        for name, of in VARIANTS.items()
    }
    peers = _implicit_peers(worlds[""], settings, options)
    turns: dict[str, list[_Turn]] = {name: [] for name in worlds}
    peer_s = dict.fromkeys(peers, 0.0)
    for round_ in range(options.rounds):  # in turn, so that a noisy moment hits all of them
        for name, world in worlds.items():
            turns[name].append(world.refresh_everyone(options, round_))
        for name, peer in peers.items():
            peer_s[name] += peer()
    for world in worlds.values():
        world.close()
    rate = {name: sum(t.users for t in taken) / sum(t.cpu_s for t in taken) for name, taken in turns.items()}
    full, text = turns[""], turns["_text"]
    batch_s = [seconds for turn in text for seconds in turn.batch_s]
    n_users = sum(turn.users for turn in text)
    figures = {f"lists_per_cpu_s{name}": each for name, each in rate.items()}
    return figures | {
        "users_per_s": sum(t.users for t in full) / sum(sum(t.batch_s) for t in full),
        "batch_users": float(settings.refresh_batch_users),
        "text_batch_p50_ms": float(np.percentile(batch_s, 50)) * 1000,
        "text_batch_p99_ms": float(np.percentile(batch_s, 99)) * 1000,
        "near_row_us": worlds["_text"].near_row_s * 1e6,
        "items_with_statistics": float(worlds[""].tracker.knowledge.stats.size),
        "reasons_per_list": sum(turn.reasons for turn in text) / n_users,
        "bytes_per_list": sum(turn.size_bytes for turn in text) / n_users,
        "records_per_list": sum(turn.records for turn in text) / n_users,
        "text_adds": rate[""] / rate["_text"] - 1.0,
        "reasons_add": rate["_without_reasons"] / rate[""] - 1.0,
        "reasons_add_text": rate["_text_without_reasons"] / rate["_text"] - 1.0,
        "reasons_add_with_3_causes": rate["_without_reasons"] / rate["_with_3_causes"] - 1.0,
        "reasons_add_for_a_quarter_of_users": rate["_without_reasons"] / rate["_for_a_quarter_of_users"] - 1.0,
        "outcomes_add": rate["_without_outcomes"] / rate[""] - 1.0,
        "placement_adds": rate[""] / rate["_placement"] - 1.0,
        "placement_adds_text": rate["_text"] / rate["_text_placement"] - 1.0,
        "placement_empty_adds": rate[""] / rate["_placement_empty"] - 1.0,
        "experiment_adds": rate["_placement"] / rate["_experiment"] - 1.0,
        **{
            name: rate["_without_reasons"] * seconds / (options.users * options.rounds)
            for name, seconds in peer_s.items()
        },
    }


class _Turn(NamedTuple):
    """Everyone refreshed once."""

    users: int
    cpu_s: float
    batch_s: list[float]
    size_bytes: int
    records: int
    reasons: int


class _NoQueries:
    """Nobody searches here."""

    model_version = ""

    def get(self, _: object) -> dict[int, Any]:
        """Nothing is known."""
        return {}


class _Texts:
    """Vectors of the catalogue as they are after the encoder has seen it all."""

    def __init__(self, items: ItemVectors) -> None:
        self.items, self.queries = items, _NoQueries()

    def changed(self, _: object) -> None:
        """Nothing is encoded here."""


class _World:
    """A tracker over users with a history, and items with statistics."""

    def __init__(self, settings: Settings, data_dir: Path, options: argparse.Namespace, variant: Variant) -> None:
        self._settings, self._batch_users = settings, variant.batch_users or settings.refresh_batch_users
        self._data = DataDirectory(data_dir, settings.block_cache_bytes, settings.write_buffer_bytes)
        self._stores = self._data.stores("users"), self._data.stores("items")
        users, items = self._stores
        self.tracker = Tracker(settings, Metrics())
        self.users = self.tracker.users[PARTITION] = UserPartition(PARTITION, users[PARTITION])
        self.tracker.replicate_items([Replicated(k, v, 0, 0, 0) for k, v in catalogue()], time.monotonic())
        if variant.has_text:
            vectors, self.near_row_s = _vectors(self.tracker)
            texts: Any = _Texts(vectors)
            self.tracker.knowledge.texts = texts
        _apply(self.tracker, self.users, spread_events(options.users * options.behaviours, options.users), settings)
        _learn_items(self.tracker, self.users, ItemPartition(items[PARTITION], settings.neighbours_max), settings)
        _refresh_all(self.tracker, self._batch_users)  # warm, and the users that the events above have queued

    def refresh_everyone(self, options: argparse.Namespace, round_: int) -> _Turn:
        """As after an event of each."""
        cpu_before = time.process_time()
        first = options.users * (options.behaviours + round_)
        users = np.arange(options.users)
        times_ms = np.full(options.users, FIRST_EVENT_MS)
        self.tracker.queue.add_events(
            PARTITION, _keys(options), users, first + users, times_ms, times_ms, time.monotonic()
        )
        batches = _refresh_all(self.tracker, self._batch_users)
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


def _keys(options: argparse.Namespace) -> list[bytes]:
    return [f"u{i}".encode() for i in range(options.users)]


def _vectors(tracker: Tracker) -> tuple[ItemVectors, float]:
    """Of every item: half its subject, half its own. Every item has been met, so what is near to it is known; and the CPU
    seconds that this took an item."""
    size = len(tracker.knowledge.index)
    rng = np.random.default_rng(0)
    subjects = rng.normal(size=(SUBJECTS, DIMS))
    rows = subjects[rng.integers(0, SUBJECTS, size)] + rng.normal(size=(size, DIMS))
    vectors = ItemVectors("drawn", DIMS)
    vectors.put(np.arange(size, dtype=np.int32), rows / np.linalg.norm(rows, axis=1, keepdims=True))
    started = time.process_time()
    vectors.near.make(np.arange(size), vectors, NO_LIMIT)
    return vectors, (time.process_time() - started) / size


# --- beside the library implicit ---


def _implicit_peers(world: _World, settings: Settings, options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """By the name of the figure: makes a list for everybody, and tells the CPU seconds it took. Empty without the library."""
    if find_spec("implicit") is None:
        return {}
    from implicit.nearest_neighbours import ItemItemRecommender  # noqa: PLC0415  (not installed everywhere)
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    states, rows = world.users.overlay.states, world.users.overlay.rows(_keys(options))
    histories = states.item[rows]
    user, place = np.nonzero(histories)
    item = world.tracker.knowledge.index.lookup(histories[user, place])
    shape = (len(rows), len(world.tracker.knowledge.index))
    seen = csr_matrix((np.ones(len(user)), (user, item)), shape)
    seen.sum_duplicates()

    def recommending(neighbours: int) -> Callable[[], float]:
        model = ItemItemRecommender(K=neighbours, num_threads=1)
        model.fit(seen, show_progress=False)

        def everybody() -> float:
            started = time.process_time()
            for first in range(0, len(rows), settings.refresh_batch_users):
                users = np.arange(first, min(first + settings.refresh_batch_users, len(rows)))
                model.recommend(users, seen[users], N=settings.top_k)
            return time.process_time() - started

        return everybody

    return {
        "over_implicit": recommending(settings.neighbours_max),
        "over_implicit_20": recommending(IMPLICIT_NEIGHBOURS),
    }


def _apply(tracker: Tracker, users: UserPartition, events: Iterator[tuple[bytes, bytes]], settings: Settings) -> None:
    offset = 0
    while chunk := list(islice(events, settings.chunk_max_records)):
        records: list[Any] = [
            _Record(settings.topic_events, PARTITION, offset + i, FIRST_EVENT_MS, key, value)
            for i, (key, value) in enumerate(chunk)
        ]
        tracker.apply(users, tracker.read(users, records), time.monotonic())
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


def _refresh_all(tracker: Tracker, batch_users: int) -> list[_Batch]:
    """Refresh everyone who waits."""
    batches: list[_Batch] = []
    while True:
        started = time.perf_counter()
        batch = tracker.queue.next_batch(batch_users)
        if batch is None:
            return batches
        published = tracker.refresh(batch.partition, batch.due, time.time_ns() // 1_000_000, time.monotonic())
        size = records = reasons = 0
        for each in published:
            assert each is not None, "a user is quarantined"
            size += len(each.list.value)
            records += 1
            if each.reasons is not None:
                size += len(each.reasons.value)
                records += 1
                reasons += each.list.length
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

"""What erasure costs and proves; in this process, without Kafka.

- `on_..`, `off_..`: events of the usual workload through what a worker does with each but making lists (decoding, state,
statistics,
  what a commit writes), with and without writing down what each person adds (`keep_contributions`), in turns in one run.
  `added_cpu_us`: what it costs an event; `over_a_list`: as a share of what its list costs
  (`stream/analysis/capacity/costs.json`).
- `erase_..`: `--erase` people, drawn at random, out of `--users` with states and contributions on the disk of one
worker, one request
  at a time, each with its commit into RocksDB. The transaction in Kafka, some 10 ms, comes to it.
- `attack_..`: from what everybody is shown, was somebody there? A sample of real purchases, half of the people. The
attacker knows all
  that a person bought and sees the strongest neighbours of each item, as `/v1/items/ID/related` shows them (`_related`),
  or all sums (`_sums`); score: how much of the person's pairs is there. AUC of who was there against who was not, mean
  of `--splits` halves; `_before`: they are in; `_after`: they were in and are erased; `_never`: neither half was ever
  in, so what chance does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.completeness import SAMPLE, SAMPLE_EVENTS
from benchmarks.workload import events as workload_events
from benchmarks.workload import spread_events
from models.hashing import item_hash
from models.items.record import unpack_records
from stream.files.mapping import parse_mapping
from stream.files.reading import FileRecord, read_events
from stream.kafka.engine.fetching import Chunk
from stream.metrics import Metrics
from stream.params import decode_limits
from stream.partitions.items import ItemPartition
from stream.settings import Settings, load_settings
from stream.state.contributions import OPEN_PREFIX
from stream.storage.rocks import DataDirectory
from stream.wire.requests import PrivacyRequest
from stream.worker.chunks import ChunkHandler
from stream.worker.parts import WorkerParts
from stream.worker.tracker import Tracker

CHUNK: Final = 500
COMMIT_EVERY: Final = 20_000
RELATED: Final = 20
MIB: Final = 1 << 20


class _Record(NamedTuple):
    """What a tracker reads of a Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[()] = ()


class Shop:
    """A worker's partition of people and its items, without Kafka."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.settings = settings
        self.directory = DataDirectory(directory, 64 * MIB, 64 * MIB)
        self.stores = self.directory.stores("users"), self.directory.stores("items")
        self.tracker = Tracker(settings, Metrics())
        self.users = self.tracker.new_users(0, self.stores[0][0])
        self.tracker.open_users(self.users)
        self.items = ItemPartition(self.stores[1][0], settings.neighbours_max)
        parts = SimpleNamespace(
            settings=settings,
            metrics=Metrics(),
            tracker=self.tracker,
            committer=SimpleNamespace(abandon=lambda: None),
            producer=SimpleNamespace(send=lambda *_, **__: None),
            dead_letters=SimpleNamespace(refused=_refused),
            membership=SimpleNamespace(generation=0),
            traces=None,
            kept_ms=lambda _: None,
        )
        self._chunks = ChunkHandler(cast("WorkerParts", parts), lambda: None)
        self._next_offset = 0

    def read(self, events: Sequence[tuple[bytes, bytes]], now_ms: int) -> None:
        """Apply events: key and value."""
        topic = self.settings.topic_events
        for start in range(0, len(events), CHUNK):
            chunk = [
                _Record(topic, 0, self._next_offset + n, now_ms, key, value)
                for n, (key, value) in enumerate(events[start : start + CHUNK])
            ]
            self._next_offset += len(chunk)
            self._chunks._apply(self.users, Chunk(cast("Any", chunk), self._next_offset, chunk[0].offset))
            while self.tracker.queue.next_batch(CHUNK) is not None:
                pass  # nobody makes lists here

    def commit(self) -> None:
        """Into the stores, and on to the items."""
        taken = self.tracker.take(self.users)
        self.users.store.write(taken.values, None)
        deltas = [_Record("", 0, n, 0, key, value) for n, (key, value) in enumerate(taken.deltas)]
        self.items.apply(deltas)
        stored = self.items.take()
        self.items.store.write(stored.values, None)
        share = self.settings.overlay_max_bytes // 4
        self.users.overlay.trim(share)
        self.users.outcomes.ledgers.trim(share)

    def close(self) -> None:
        """Give the directory back."""
        for stores in self.stores:
            stores.close_all()
        self.directory.close()


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def _refused(record: Any, why: Any) -> None:
    raise AssertionError(f"{record}: {why}")


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    return {**_cost(options), **_erasures(options), **_attacks(options)}


# --- what it costs ---


def _cost(options: argparse.Namespace) -> dict[str, float]:
    events = list(workload_events(options.events, seed=1))
    cpu_s: dict[bool, list[float]] = {True: [], False: []}
    stored: dict[bool, int] = {}
    for turn in range(1 + 2 * options.turns):
        kept = turn % 2 == 0
        with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
            shop = Shop(Path(directory), load_settings(keep_contributions=kept))
            began = time.process_time()
            for start in range(0, len(events), COMMIT_EVERY):
                shop.read(events[start : start + COMMIT_EVERY], now_ms())
                shop.commit()
            if turn:  # the first one compiles
                cpu_s[kept].append((time.process_time() - began) / len(events))
            stored[kept] = sum(len(k) + len(v) for k, v in shop.users.store.items())
            shop.close()
    on, off = float(np.median(cpu_s[True])), float(np.median(cpu_s[False]))
    text = files("stream.analysis.capacity").joinpath("costs.json").read_text()
    list_s = float(json.loads(text)["cpu_s_per_list"])
    return {
        "on_events_per_cpu_s": 1 / on,
        "off_events_per_cpu_s": 1 / off,
        "added_cpu_us": 1e6 * (on - off),
        "over_a_list": (on - off) / list_s,
        "on_bytes_per_event": stored[True] / len(events),
        "off_bytes_per_event": stored[False] / len(events),
    }


# --- how fast it is ---


def _erasures(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        shop = Shop(Path(directory), load_settings())
        n_known = min(options.users, 20_000)
        shop.read(list(spread_events(20 * n_known, n_known, seed=2)), now_ms())
        shop.commit()
        _multiply(shop, options.users)
        rng = np.random.default_rng(3)
        took_ms = []
        for n in rng.choice(options.users, options.erase, replace=False).tolist():
            user = f"copy-{n}"
            request = PrivacyRequest(user, "erase", f"r{n}")
            began = time.perf_counter()
            record = _Record(shop.settings.topic_events, 0, shop._next_offset, 0, user.encode(), b"")
            shop._chunks._requests.handle(shop.users, record, request, 0)
            shop._next_offset += 1
            shop.users.next_offset = shop._next_offset
            shop.commit()
            took_ms.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        for byte in range(255):
            shop.users.store.compact(bytes([byte]), bytes([byte + 1]))
        figures = {
            "users": float(options.users),
            "store_mib": shop.users.store.size_bytes() / MIB,
            "erase_p50_ms": float(np.percentile(took_ms, 50)),
            "erase_p99_ms": float(np.percentile(took_ms, 99)),
            "erase_max_ms": float(np.max(took_ms)),
            "compaction_s": time.perf_counter() - began,
        }
        shop.close()
    return figures


def _multiply(shop: Shop, users: int) -> None:
    """So many people with the states and contributions of those who are there, under other names."""
    there = [(k, v) for k, v in shop.users.store.items_with_prefix(OPEN_PREFIX)]
    states = dict(zip((k[1:] for k, _ in there), shop.users.store.get_many([k[1:] for k, _ in there]), strict=True))
    known = [(states[k[1:]], v) for k, v in there]
    for start in range(0, users, 10_000):
        batch: list[tuple[bytes, bytes | None]] = []
        for n in range(start, min(users, start + 10_000)):
            state, added = known[n % len(known)]
            batch += [(b"copy-%d" % n, state), (OPEN_PREFIX + b"copy-%d" % n, added)]
        shop.users.store.write(batch, None)


# --- what it proves ---


def _attacks(options: argparse.Namespace) -> dict[str, float]:
    settings = load_settings()
    bought = _purchases(settings, options)
    people = sorted(user for user, events in bought.items() if len({e[0] for e in events}) >= 2)
    found: dict[str, list[float]] = defaultdict(list)
    for split in range(options.splits):
        rng = np.random.default_rng(split)
        order = rng.permutation(len(people))
        third = len(people) // 3
        inside, outside = ([people[n] for n in order[at : at + third]] for at in (0, third))
        base = {people[n] for n in order[2 * third :]}
        with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
            shop = Shop(Path(directory), settings)
            at_ms = now_ms()
            for name, who in (("never", base), ("before", set(inside))):
                events = [e for user in bought for e in bought[user] if user in who]
                shop.read([(key, value) for _, _, key, value in sorted(events, key=lambda e: e[1])], at_ms)
                shop.commit()
                _note(found, name, _scores(shop, bought, inside), _scores(shop, bought, outside))
            for n, user in enumerate(inside):
                record = _Record(settings.topic_events, 0, shop._next_offset, 0, user.encode(), b"")
                shop._chunks._requests.handle(shop.users, record, PrivacyRequest(user, "erase", f"r{n}"), 0)
                shop._next_offset += 1
            shop.users.next_offset = shop._next_offset
            shop.commit()
            _note(found, "after", _scores(shop, bought, inside), _scores(shop, bought, outside))
            shop.close()
    return {f"attack_{name}": float(np.mean(values)) for name, values in sorted(found.items())} | {
        "attack_people": float(2 * (len(people) // 3))
    }


def _note(found: dict[str, list[float]], name: str, inside: NDArray[np.float64], outside: NDArray[np.float64]) -> None:
    """AUC of two scores (n, 2) each: by related items, by sums."""
    for column, how in enumerate(("related", "sums")):
        found[f"{how}_{name}"].append(_auc(inside[:, column], outside[:, column]))


def _auc(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """How likely one of those has the larger score (Mann and Whitney, 1947); equal ones count half."""
    ordered = np.sort(outside)
    below, upto = np.searchsorted(ordered, inside, "left"), np.searchsorted(ordered, inside, "right")
    return float((below + upto).mean() / (2 * len(outside)))


def _scores(shop: Shop, bought: dict[str, list[Any]], people: Iterable[str]) -> NDArray[np.float64]:
    """(n, 2): how much of each person's pairs stands among the strongest neighbours, and in all sums."""
    rows: dict[int, dict[int, float]] = {}
    top: dict[int, set[int]] = {}
    for key, value in shop.items.store.items_with_prefix(b""):
        record = unpack_records([value])
        row = dict(zip(record.neighbours.tolist(), record.neighbour_weights.tolist(), strict=True))
        own = item_hash(key.decode())
        rows[own] = row
        top[own] = set(sorted(row, key=lambda h: -row[h])[:RELATED])
    scores = []
    for user in people:
        items = sorted({item_hash(item) for item, *_ in bought[user]})
        pairs = [(a, b) for a in items for b in items if a != b]
        related = np.mean([b in top.get(a, ()) for a, b in pairs])
        sums = np.mean([min(1.0, rows.get(a, {}).get(b, 0.0)) for a, b in pairs])
        scores.append((related, sums))
    return np.array(scores)


def _purchases(settings: Settings, options: argparse.Namespace) -> dict[str, list[Any]]:
    """By person: item, time, key, value."""
    rows = read_events(
        SAMPLE / "events.csv.gz", parse_mapping(SAMPLE_EVENTS), limits=decode_limits(settings), now_ms=now_ms()
    )
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if isinstance(row, FileRecord) and len(found[row.key.decode()]) < options.events_each:
            item = json.loads(row.value).get("item_id")
            found[row.key.decode()].append((item, row.time_ms, row.key, row.value))
    return found


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=erasure ARGS=")
    parser.add_argument("--events", type=int, default=100_000, help="of the measurement of what it costs")
    parser.add_argument("--turns", type=int, default=3, help="times each way")
    parser.add_argument("--users", type=int, default=1_000_000, help="people with states on the disk")
    parser.add_argument("--erase", type=int, default=200, help="of them")
    parser.add_argument("--splits", type=int, default=10, help="random halves of the attack")
    parser.add_argument("--events-each", type=int, default=60, help="of a person, at most, in the attack")
    return parser.parse_args(arguments)

"""What a journal costs a worker, and how fast it is simulated: the same events and lists with and without it, in turns.

python -m benchmarks.journal --rounds 5
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from stream.analysis.simulation.run import simulate
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.settings import Settings, load_settings
from stream.storage.rocks import DataDirectory
from stream.worker.journal.beginning import begin_journal
from stream.worker.journal.entries import EventRecord
from stream.worker.journal.recording import RecordedTracker
from stream.worker.tracker import Tracker

USERS: Final = 3_000
ITEMS: Final = 3_000
EVENTS_AT_ONCE: Final = 500
CHUNKS: Final = 20
MIB: Final = 1 << 20
NOW_MS: Final = 1_800_000_000_000


class Run:
    """One worker's day."""

    def __init__(self, settings: Settings, directory: Path, *, recorded: bool) -> None:
        self._data = DataDirectory(directory / "data", 64 * MIB, 64 * MIB)
        self.journal = begin_journal(settings, directory / "journal") if recorded else None
        self._tracker = (
            Tracker(settings, Metrics())
            if self.journal is None
            else RecordedTracker(settings, Metrics(), self.journal.add)
        )
        self._users_store = self._data.stores("users")[0]
        self._items = ItemPartition(self._data.stores("items")[0], settings.neighbours_max)
        self._users = UserPartition(0, self._tracker.store_of(0, self._users_store))
        self._tracker.open_users(self._users)
        self.events = self.lists = 0
        self.events_cpu_s = self.lists_cpu_s = 0.0

    def day(self, chunks: Sequence[list[EventRecord]]) -> None:
        """All of it."""
        catalogue = [
            Replicated(f"i{n}".encode(), json.dumps({"item_id": f"i{n}", "title": f"Item {n}"}).encode(), 0, n, NOW_MS)
            for n in range(ITEMS)
        ]
        self._tracker.replicate_items(catalogue, 0.0)
        for n, records in enumerate(chunks):
            now_ms, now = NOW_MS + n * 1000, float(n)
            began = time.process_time()
            intake = self._tracker.read(self._users, records, now_ms)
            self._tracker.apply(self._users, intake, now, now_ms)
            self._users.next_offset = records[-1].offset + 1
            self.events_cpu_s += time.process_time() - began
            self.events += len(records)
            began = time.process_time()
            while (batch := self._tracker.queue.next_batch(64)) is not None:
                self._tracker.refresh(0, batch.due, now_ms, now)
                self.lists += len(batch.due)
            self.lists_cpu_s += time.process_time() - began
            self._commit(now)

    def _commit(self, now: float) -> None:
        taken = self._tracker.take(self._users)
        self._users_store.write(taken.values, None)
        records = [EventRecord(n, key, value, NOW_MS) for n, (key, value) in enumerate(taken.deltas)]
        self._items.apply(records)
        stored = self._items.take().stored
        self._tracker.replicate_stats([Replicated(k, v, 0, 0, NOW_MS) for k, v in zip(*stored, strict=True)], now)
        self._tracker.weigh_strategies()

    def close(self) -> None:
        """To be called when it is over."""
        if self.journal is not None:
            self.journal.close()
        self._data.close()


def run(rounds: int, seed: int) -> dict[str, Any]:
    """Plain and recorded days in turns; the last recorded one is simulated."""
    settings = load_settings(encoder_model="none")
    chunks = _chunks(seed)
    costs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="penchant-") as path:
        for n in range(rounds + 1):
            for recorded in (False, True):
                made = Run(settings, Path(path) / f"{n}-{recorded}", recorded=recorded)
                made.day(chunks)
                made.close()
                if n:  # the first round compiles
                    name = "recorded" if recorded else "plain"
                    costs.setdefault(f"event_us_{name}", []).append(1e6 * made.events_cpu_s / made.events)
                    costs.setdefault(f"list_us_{name}", []).append(1e6 * made.lists_cpu_s / made.lists)
        assert made.journal is not None, "the last one was recorded"
        began = time.process_time()
        proof, _ = simulate(made.journal.path, None, None, 10)
        took = time.process_time() - began
        figures = {name: float(np.median(values)) for name, values in costs.items()}
        return figures | {
            "lists": made.lists,
            "events": made.events,
            "journal_bytes_per_event": made.journal.written_bytes / made.events,
            "lists_same": proof.same,
            "simulated_lists_per_cpu_s": proof.lists / took,
        }


def _chunks(seed: int) -> list[list[EventRecord]]:
    rng = np.random.default_rng(seed)
    actions, found = ("view", "click", "cart", "purchase"), []
    for n in range(CHUNKS):
        records = []
        for i in range(EVENTS_AT_ONCE):
            user, item = f"u{rng.integers(USERS)}", f"i{int(ITEMS * rng.random() ** 2)}"
            event = {"user_id": user, "item_id": item, "action": actions[rng.integers(4)], "event_time": NOW_MS + n}
            records.append(EventRecord(n * EVENTS_AT_ONCE + i, user.encode(), json.dumps(event).encode(), NOW_MS + n))
        found.append(records)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(run(options.rounds, options.seed), indent=1))


if __name__ == "__main__":
    main()

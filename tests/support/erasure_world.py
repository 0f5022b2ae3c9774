"""A worker's memory and disk without Kafka: events and requests of a log are applied, committed, lost in a crash and
read again."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from kafka_records import NOW_MS, Record

from models.items.record import ENTRY_DAYS, TREND_DAYS, unpack_records
from stream.kafka.engine.fetching import Chunk
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.settings import Settings
from stream.storage.rocks import DataDirectory
from stream.wire.requests import read_receipt
from stream.worker.chunks import ChunkHandler
from stream.worker.tracker import Tracker

MIB = 1 << 20
ACTIONS = ("view", "click", "click", "like", "cart", "purchase", "dislike", "impression", "impression", "refund")


def event(user: str, action: str, item: str, at_ms: int, **more) -> bytes:
    return json.dumps({"user_id": user, "action": action, "item_id": item, "event_time": at_ms} | more).encode()


def request(user: str, kind: str, request_id: str, **more) -> bytes:
    return json.dumps({"user_id": user, "request": kind, "request_id": request_id} | more).encode()


class Log(list):
    """Records of one partition of the events topic, at their offsets."""

    def add(self, user: str, value: bytes, at_ms: int) -> None:
        self.append(Record(len(self), user.encode(), value, timestamp=at_ms))

    def without(self, users: set[str]) -> list[Record]:
        """The others' records, where they were."""
        gone = {user.encode() for user in users}
        return [record for record in self if record.key not in gone]


def random_log(seed: int, n_users: int = 30, n_items: int = 25, n_events: int = 600) -> Log:
    """Behaviours of all kinds, some late, some that name a list."""
    chosen, log = random.Random(seed), Log()
    lists = [f"{n:032x}" for n in range(1, 9)]
    for n in range(n_events):
        user, at_ms = f"user-{chosen.randrange(n_users)}", NOW_MS + 60_000 * n
        late_ms = chosen.choice((0, 0, 0, 86_400_000 * 5))
        more = {"recommendation_id": chosen.choice(lists)} if chosen.random() < 0.4 else {}
        more |= {"value": round(chosen.random() * 50, 2)} if chosen.random() < 0.3 else {}
        more |= {"context": {"device": chosen.choice(("phone", "desk"))}} if chosen.random() < 0.2 else {}
        item = f"item-{min(chosen.randrange(n_items), chosen.randrange(n_items))}"
        log.add(
            user,
            event(user, chosen.choice(ACTIONS), item, at_ms - late_ms, event_id=f"e{n}", slot=1 + n % 9, **more),
            at_ms,
        )
    return log


class World:
    """One partition of people and one of items, driven as a worker drives them."""

    def __init__(self, path: Path, **given) -> None:
        given = {"data_dir": path, "engagements_max_per_user_day": 0} | given
        self.settings = Settings(**given)
        self.path, self.sent, self.receipts = path, [], []
        self.letters: list[tuple[object, object]] = []
        self.committed = 0
        self._open()

    def _open(self) -> None:
        self.directory = DataDirectory(self.path, 8 * MIB, 8 * MIB)
        self.stores = self.directory.stores("users"), self.directory.stores("items")
        self.tracker = Tracker(self.settings, Metrics())
        self.users = self.tracker.new_users(0, self.stores[0][0])
        self.tracker.open_users(self.users)
        self.items = ItemPartition(self.stores[1][0], self.settings.neighbours_max)
        parts = SimpleNamespace(
            settings=self.settings,
            metrics=self.tracker._metrics,
            tracker=self.tracker,
            committer=SimpleNamespace(abandon=lambda: None),
            producer=SimpleNamespace(send=lambda topic, key, value, **_: self.sent.append((topic, key, value))),
            dead_letters=SimpleNamespace(refused=lambda record, why: self.letters.append((record, why))),
            membership=SimpleNamespace(generation=0),
            traces=None,
            kept_ms=lambda topic: 604_800_000 if topic == self.settings.topic_events else None,
        )
        self.chunks = ChunkHandler(parts, lambda: None)
        self._tell_statistics([(key, value) for key, value in self.items.store.items_with_prefix(b"")])

    def read(self, records, at_once: int = 40) -> None:
        """Apply records in chunks."""
        for start in range(0, len(records), at_once):
            chunk = records[start : start + at_once]
            left = Chunk(chunk, chunk[-1].offset + 1, chunk[0].offset)
            while left is not None:
                left = self.chunks._apply(self.users, left)

    def commit(self) -> None:
        """What was applied becomes durable, and goes on to the items."""
        taken = self.tracker.take(self.users)
        self.users.store.write(taken.values, None)
        self.users.overlay.trim(0)
        self.users.outcomes.ledgers.trim(0)
        self.receipts += [read_receipt(value) for key, value in taken.attributions if b'"receipt"' in value]
        self.items.apply([Record(n, key, value) for n, (key, value) in enumerate(taken.deltas)])
        stored = self.items.take()
        self.items.store.write(stored.values, None)
        self._tell_statistics(list(zip(*stored.stored, strict=True)))
        self.committed = self.users.next_offset or self.committed

    def _tell_statistics(self, records) -> None:
        self.tracker.replicate_stats([Replicated(key, value, 0, 0, NOW_MS) for key, value in records], 0.0)

    def crash(self) -> None:
        """What was not committed is lost."""
        self.close()
        self._open()

    def close(self) -> None:
        for stores in self.stores:
            stores.close_all()
        self.directory.close()

    # --- what there is ---

    def people(self) -> dict[bytes, bytes]:
        """All that is stored of the partition but strategies' totals and marks of who was erased."""
        stored = dict(self.users.store.items_with_prefix(b""))
        return {key: value for key, value in stored.items() if key[0] not in (0xF7, 0xFE, 0xFD)}

    def totals(self) -> dict[tuple[int, ...], list[float]]:
        """Numbers of cells that are not empty."""
        totals = self.users.outcomes.totals
        return {tuple(cell): totals.of(cell).tolist() for cell in totals.cells() if totals.of(cell).any()}

    def statistics(self) -> dict[bytes, dict[str, object]]:
        """By item, with trends as of one time and neighbours by hash; without items of which nothing is known."""
        found = {}
        for key, value in self.items.store.items_with_prefix(b""):
            columns = unpack_records([value])
            age_ms = NOW_MS + 10_000_000_000 - columns.trend_ms[0]
            row = {name: getattr(columns, name)[0] for name in ("count", "exposures", "clicks", "moments")}
            if not (row["count"] or row["exposures"] or row["clicks"]):
                continue
            row["trend"] = decayed(columns.trend[0], age_ms, "TREND_DAYS")
            row["entry"] = decayed(columns.entry[0], age_ms, "ENTRY_DAYS")
            row["neighbours"] = {
                int(h): (float(w), float(f))
                for h, w, f in zip(
                    columns.neighbours, columns.neighbour_weights, columns.neighbour_forwards, strict=True
                )
            }
            found[key] = row
        return found


def decayed(values: np.ndarray, age_ms: int, constants: str) -> np.ndarray:
    days = {"TREND_DAYS": TREND_DAYS, "ENTRY_DAYS": ENTRY_DAYS}[constants]
    return values * np.exp(-age_ms / (86_400_000.0 * np.array(days)))


def assert_same(one: World, other: World) -> None:
    """State of everybody to the byte, sums to 1e-9."""
    assert one.people() == other.people()
    left, right = one.totals(), other.totals()
    assert left.keys() == right.keys()
    for cell in left:
        np.testing.assert_allclose(left[cell], right[cell], rtol=1e-9, atol=1e-9)
    first, second = one.statistics(), other.statistics()
    assert first.keys() == second.keys()
    for key, row in first.items():
        for name, value in row.items():
            if name == "neighbours":
                assert value.keys() == second[key][name].keys(), key
                for h, pair in value.items():
                    np.testing.assert_allclose(pair, second[key][name][h], rtol=1e-9, atol=1e-9)
            else:
                np.testing.assert_allclose(value, second[key][name], rtol=1e-9, atol=1e-9, err_msg=f"{key!r} {name}")


__all__ = ["Log", "World", "assert_same", "event", "random_log", "request"]

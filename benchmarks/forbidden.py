"""Lists while rules and catalogue change all the time: none may hold an item that a rule forbids, and parts must sum to scores.

    python -m benchmarks.forbidden [--lists 100000] [--seed 0]

In this process, by the worker's own code. Between two batches of lists some items change price, category or availability, come
or go, and now and then a rule comes, changes or goes. What is forbidden is decided once more in plain Python, from the rules as
they were written. Exit code 1 if any list was wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.settings import load_settings
from stream.settings.placements import PlacementSettings
from stream.storage.rocks import DataDirectory
from stream.worker.tracker import Tracker

ITEMS: Final = 600
USERS: Final = 400
CATEGORIES: Final = 8
MIB: Final = 1 << 20


class Shop:
    """A tracker, its catalogue and rules, and both once more as plain values."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        home = PlacementSettings.model_validate(
            {"diversity": 0.2, "explore": {"slots": 2, "min_history": 1, "rate": 0.5}}
        )
        settings = load_settings(encoder_model="none", explained_users=0.0, placements={HOME: home})
        self.data = DataDirectory(directory, 8 * MIB, 8 * MIB)
        self.tracker = Tracker(settings, Metrics())
        self.tracker.compile_placement()
        self.tracker.use_placements()
        self.users = self.tracker.users[0] = UserPartition(0, self.data.stores("users")[0])
        self.items_partition = ItemPartition(self.data.stores("items")[0], settings.neighbours_max)
        self.settings = settings
        self.catalogue: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.now_ms = 1_800_000_000_000
        for n in range(ITEMS):
            self.put(f"i{n}")

    def put(self, item_id: str) -> None:
        """An item as new: with other values, or gone."""
        rng = self.rng
        item: dict[str, Any] | None = None
        if rng.random() < 0.97:
            item = {
                "item_id": item_id,
                "title": item_id,
                "price": int(rng.integers(0, 50)),
                "categories": [f"c{rng.integers(0, CATEGORIES)}" for _ in range(int(rng.integers(0, 3)))],
                "available": bool(rng.random() < 0.97),
            }
        self.catalogue.pop(item_id, None)
        if item is not None:
            self.catalogue[item_id] = item
        value = None if item is None else json.dumps(item).encode()
        self.tracker.replicate_items([Replicated(item_id.encode(), value, 0, 0, self.now_ms)], 0.0)

    def rule(self) -> None:
        """A rule that is new, other than before, or gone."""
        rng, name = self.rng, f"r{self.rng.integers(0, 6)}"
        bound, category = int(rng.integers(0, 50)), f"c{rng.integers(0, CATEGORIES)}"
        rule = (
            {"kind": "deny", "where": f"price = {bound}"},
            {"kind": "deny", "where": f"array_contains(categories, '{category}') AND price < {bound}"},
            {"kind": "deny", "items": [f"i{n}" for n in rng.integers(0, ITEMS, 20)]},
            {"kind": "boost", "where": f"price > {bound}", "add": float(rng.normal())},
            {"kind": "promote", "where": f"array_contains(categories, '{category}')", "least": int(rng.integers(1, 5))},
            {"kind": "pin", "items": [f"i{rng.integers(0, ITEMS)}"], "place": int(rng.integers(1, 20))},
            {"kind": "cap", "by": "category", "most": int(rng.integers(2, 8))},
            None,
        )[int(rng.integers(0, 8))]
        self.rules.pop(name, None)
        if rule is not None:
            self.rules[name] = rule
        value = None if rule is None else json.dumps(rule).encode()
        self.tracker.replicate_rules([Replicated(f"rule/{name}".encode(), value, 0, 0, self.now_ms)], 0.0)
        self.tracker.look_at_all_rules(0.0)

    def is_forbidden(self, item_id: str) -> bool:
        """By the rules as they were written."""
        item = self.catalogue.get(item_id)
        if item is None or not item["available"]:
            return True
        return any(_denies(rule, item) for rule in self.rules.values() if rule["kind"] == "deny")

    def events(self) -> None:
        """What people did before: everybody has a history, and items have statistics."""
        records: list[Any] = []
        for n in range(USERS * 12):
            event = {"user_id": f"u{n % USERS}", "item_id": f"i{self.rng.integers(0, ITEMS)}", "action": "click"}
            records.append(_Record(n, event["user_id"].encode(), json.dumps(event).encode(), self.now_ms))
        self.tracker.apply(self.users, self.tracker.read(self.users, records), 0.0)
        deltas = self.users.take_deltas(
            self.settings.pair_decay, self.settings.forward_decay, self.tracker.knowledge.names
        )
        stored: list[Any] = [_Record(n, key, value, self.now_ms) for n, (key, value) in enumerate(deltas)]
        self.items_partition.apply(stored)
        statistics = self.items_partition.take().stored
        replicated = [Replicated(k, v, 0, 0, 0) for k, v in zip(statistics.keys, statistics.values, strict=True)]
        self.tracker.replicate_stats(replicated, 0.0)

    def lists(self) -> list[Any]:
        """Of everybody."""
        for n in range(USERS):
            self.tracker.queue.add(0, f"u{n}".encode(), "refresh", 0.0)
        self.now_ms += 2_000
        made: list[Any] = []
        while (batch := self.tracker.queue.next_batch(64)) is not None:
            made += self.tracker.refresh(0, batch.due, self.now_ms, time.monotonic())
        return made


class _Record:
    def __init__(self, offset: int, key: bytes, value: bytes, timestamp: int) -> None:
        self.topic, self.partition, self.offset, self.key, self.value = "interest.events", 0, offset, key, value
        self.timestamp = timestamp


HOME: Final = "home"


def _denies(rule: dict[str, Any], item: dict[str, Any]) -> bool:
    if "items" in rule:
        return item["item_id"] in rule["items"]
    where = str(rule["where"])
    bound = int(where.rsplit(" ", 1)[1])
    if where.startswith("price"):
        return bool(item["price"] == bound)
    return where.split("'")[1] in item["categories"] and item["price"] < bound


def run(lists: int, seed: int) -> dict[str, int]:
    """Figures of one run."""
    forbidden = unequal = made = short = changes = 0
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        shop = Shop(Path(directory), seed)
        shop.events()
        while made < lists:
            for _ in range(int(shop.rng.integers(0, 12))):
                shop.put(f"i{shop.rng.integers(0, ITEMS)}")
                changes += 1
            if shop.rng.random() < 0.6:
                shop.rule()
                changes += 1
            for each in shop.lists():
                record = json.loads(each.list.value, parse_float=Decimal)
                made += 1
                short += len(record["items"]) < 20
                for item in record["items"]:
                    forbidden += shop.is_forbidden(item["item_id"])
                    unequal += abs(sum(map(Decimal, item["parts"].values())) - Decimal(item["score"])) > Decimal("1e-9")
        shop.data.close()
    return {"lists": made, "changes": changes, "forbidden": forbidden, "unequal_sums": unequal, "short_lists": short}


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0, 1 if a list was wrong, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="forbidden", description=__doc__)
    parser.add_argument("--lists", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    figures = run(options.lists, options.seed)
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return int(bool(figures["forbidden"] or figures["unequal_sums"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A tracker that keeps a journal, driven with everything that a worker does, in random order."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
from kafka_records import NOW_MS, Record, event_record
from text_source import InstantTexts
from tracker_harness import MIB, item_value, replicated

from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.rules.rule import rule_of, to_json
from stream.settings import Settings
from stream.storage.rocks import DataDirectory
from stream.worker.journal.beginning import begin_journal
from stream.worker.journal.recording import RecordedTracker

ACTIONS = ["view", "click", "like", "cart", "purchase", "dislike", "impression"]


class RecordedShop:
    """A worker with one partition of users; `journal` is closed when it ends."""

    def __init__(self, path, seed=0, **given):
        self.rng = np.random.default_rng(seed)
        self.settings = Settings(data_dir=path / "data", journal_dir=path / "journal", **given)
        self.journal = begin_journal(self.settings, self.settings.journal_dir)
        self.tracker = RecordedTracker(self.settings, Metrics(), self.journal.add)
        if self.tracker.refresher.pages.is_configured:
            self.tracker.refresher.warm_up()
        self.directory = DataDirectory(path / "data", 8 * MIB, 8 * MIB)
        self.users_stores, items_stores = self.directory.stores("users"), self.directory.stores("items")
        self.items = ItemPartition(items_stores[0], 100)
        self.next_offset, self.now_ms, self.lists, self.written = 0, NOW_MS, [], []
        self.texts = None
        self.users = None
        self.open()

    # --- what a worker does ---

    def open(self):
        self.users = UserPartition(0, self.tracker.store_of(0, self.users_stores[0]))
        self.tracker.open_users(self.users)

    def commit(self):
        taken = self.tracker.take(self.users)
        self.users_stores[0].write(list(taken.values), None)
        self.users.overlay.trim(0)
        self.users.outcomes.ledgers.trim(0)
        self.items.apply([Record(n, k, v) for n, (k, v) in enumerate(taken.deltas)])
        records = [replicated(k, v) for k, v in zip(*self.items.take().stored, strict=True)]
        self.tracker.replicate_stats(records, self.now_s)
        self.tracker.replicate_strategies([replicated(k, v) for k, v in taken.strategies])
        self.tracker.weigh_strategies()

    def reopen(self):
        self.commit()
        self.tracker.forget([0], [])
        self.open()

    def events(self, n, headers=()):
        records = []
        for _ in range(n):
            fields = {
                "action": ACTIONS[self.rng.integers(len(ACTIONS))],
                "item_id": f"i{int(40 * self.rng.random() ** 2)}",
            }
            user = f"u{self.rng.integers(12)}"
            mine = [each for each in self.lists[-40:] if each.user_id == user and each.items]
            if mine and fields["action"] in ("click", "impression", "purchase"):
                shown = mine[-1].items[self.rng.integers(len(mine[-1].items))]
                fields |= {"recommendation_id": mine[-1].recommendation_id, "item_id": shown.item_id}
            if self.rng.random() < 0.05:
                fields = {"action": "query", "text": f"words {self.rng.integers(5)}"}
            self.now_ms += int(self.rng.integers(1, 60_000))
            records.append(
                event_record(self.next_offset, user, event_time=self.now_ms, timestamp=self.now_ms, **fields)._replace(
                    headers=headers
                )
            )
            self.next_offset += 1
        intake = self.tracker.read(self.users, records, self.now_ms)
        if intake.keys:
            self.tracker.apply(self.users, intake, self.now_s, self.now_ms)
        self.users.next_offset = self.next_offset

    def refresh(self, most=5):
        batch = self.tracker.queue.next_batch(most)
        if batch is None:
            return
        made = self.tracker.refresh(0, batch.due, self.now_ms, self.now_s)
        self.lists += [each.list.record for each in made if each is not None]
        self.written += [each for each in made if each is not None]

    def catalogue(self, *ids, **fields):
        records = [replicated(i.encode(), item_value(i, **fields)) for i in ids]
        self.tracker.replicate_items(records, self.now_s)

    def say(self, **rules):
        records = [
            replicated(f"rule/{name}".encode(), None if given is None else to_json(rule_of(name, given)))
            for name, given in rules.items()
        ]
        self.tracker.replicate_rules(records, self.now_s)

    def use_texts(self):
        self.texts = InstantTexts(self.tracker.knowledge)
        self.tracker.use_texts(self.texts)
        self.texts.changed(range(len(self.tracker.knowledge.index)))

    @property
    def now_s(self):
        return self.now_ms / 1000

    # --- all of it ---

    def live(self, steps=120, *, live_placements=True):
        """So many things, whatever they are."""
        rng = self.rng
        for _ in range(steps):
            self.now_ms += int(rng.integers(0, 3000))
            what = rng.choice(
                ["events", "refresh", "commit", "item", "gone", "rule", "look", "reopen", "restore", "placement"],
                p=[0.3, 0.35, 0.1, 0.07, 0.03, 0.05, 0.05, 0.01, 0.02, 0.02],
            )
            if what == "events":
                self.events(int(rng.integers(1, 8)))
            elif what == "refresh":
                self.refresh()
            elif what == "commit":
                self.commit()
            elif what == "item":
                self.catalogue(
                    f"i{rng.integers(60)}", categories=[f"c{rng.integers(5)}"], price=float(rng.integers(50))
                )
            elif what == "gone":
                self.tracker.replicate_items([replicated(f"i{rng.integers(60)}".encode(), None)], self.now_s)
            elif what == "rule":
                rule = {"kind": "deny", "where": f"price > {rng.integers(30, 50)}"}
                boost = {"kind": "boost", "where": f"array_contains(categories, 'c{rng.integers(5)}')", "add": 1.0}
                self.say(**{f"r{rng.integers(3)}": [None, rule, boost][rng.integers(3)]})
            elif what == "placement" and not live_placements:
                continue
            elif what == "placement":
                value = None if rng.random() < 0.5 else json.dumps({"diversity": 0.3}).encode()
                self.tracker.replicate_rules([replicated(b"placement/home", value)], self.now_s)
            elif what == "look":
                self.tracker.look_at_rules(self.now_s, 3)
            elif what == "reopen":
                self.reopen()
            else:
                self.tracker.lists.restore((0, f"u{rng.integers(12)}".encode()), (0, 1, 2), self.now_s - 100)

    def close(self):
        self.journal.close()
        self.directory.close()


@contextmanager
def recorded_shop(path, seed=0, **given):
    shop = RecordedShop(path, seed, **given)
    try:
        yield shop
    finally:
        shop.close()

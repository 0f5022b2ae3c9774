"""A tracker on real RocksDB stores, driven without Kafka and without a clock."""

from __future__ import annotations

import json
from contextlib import contextmanager

from hypothesis import strategies as st
from kafka_records import NOW_MS, Record, event_record

from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.settings import Settings
from stream.storage.rocks import DataDirectory
from stream.worker.tracker import Tracker

MIB = 1 << 20


class Harness:
    """A tracker with one partition of users and one of items, driven as the worker drives it."""

    def __init__(self, path, **given):
        self.settings = Settings(data_dir=path, **given)
        self.metrics = Metrics()
        self.tracker = Tracker(self.settings, self.metrics)
        self.directory = DataDirectory(path, 8 * MIB, 8 * MIB)
        self.stores = self.directory.stores("users"), self.directory.stores("items")
        self.users = self.tracker.users[0] = UserPartition(0, self.stores[0][0])
        self.items = self.tracker.items[0] = ItemPartition(self.stores[1][0], 100)
        self.next_offset, self.now_ms = 0, NOW_MS

    def close(self):
        for stores in self.stores:
            stores.close_all()
        self.directory.close()

    def chunk(self, records):
        intake = self.tracker.read(self.users, records)
        if intake.keys:
            self.tracker.apply(self.users, intake, 0.0)
        self.users.next_offset = self.next_offset = records[-1].offset + 1
        return intake

    def events(self, *events):
        """Good events, `(user, action, item)` each."""
        start = self.next_offset
        return self.chunk(
            [event_record(start + n, u, action=action, item_id=item) for n, (u, action, item) in enumerate(events)]
        )

    def commit(self, trim=False):
        snapshot = self.users.overlay.snapshot()
        self.users.store.write(zip(*snapshot, strict=True), None)
        if trim:
            self.users.overlay.trim(0)
        return snapshot

    def share_statistics(self):
        """What the events said about items, through deltas and records, as it comes back from Kafka."""
        deltas = self.users.take_deltas(
            self.settings.pair_decay, self.settings.forward_decay, self.tracker.knowledge.names
        )
        records = [Record(n, key, value) for n, (key, value) in enumerate(deltas)]
        self.items.apply(records)
        self.tracker.replicate_stats([replicated(k, v) for k, v in zip(*self.items.take().stored, strict=True)], 0.0)

    def catalogue(self, *ids, **fields):
        self.tracker.replicate_items([replicated(i.encode(), item_value(i, **fields)) for i in ids], 0.0)

    def remove(self, item_id):
        self.tracker.replicate_items([replicated(item_id.encode(), None)], 0.0)

    def refresh(self, *users):
        """Item ids of the fresh lists of `users` (all who are due, if none are named)."""
        for user in users:
            self.tracker.queue.add(0, user.encode(), "refresh", 0.0)
        self.now_ms += 2000  # so that trend and popularity are computed again
        batch = self.tracker.queue.next_batch(4000)
        published = self.tracker.refresh(0, batch.due, self.now_ms, self.now_ms / 1000)
        return {p.list.record.user_id: [i.item_id for i in p.list.record.items] for p in published}

    def waiting(self):
        batch = self.tracker.queue.next_batch(4000)
        return [] if batch is None else [(due.key.decode(), due.trigger) for due in batch.due]

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"penchant_{name}_total", labels) or 0


def replicated(key, value):
    return Replicated(key, value, 0, 0, NOW_MS)


def item_value(item_id, **fields):
    return json.dumps({"item_id": item_id, "title": f"Title of {item_id}"} | fields).encode()


@contextmanager
def opened(path, **given):
    harness = Harness(path, **given)
    try:
        yield harness
    finally:
        harness.close()


users = st.sampled_from(["u", "v", "ü\x00", "w" * 32])


def shop_with_history(harness):
    """Statistics of which items go together, and one person who liked two of them."""
    ids = [f"i{n}" for n in range(8)]
    harness.catalogue(*ids)
    for n in range(6):
        harness.events(
            (f"v{n}", "click", "i0"), (f"v{n}", "click", "i1"), (f"w{n}", "click", "i2"), (f"w{n}", "click", "i3")
        )
    harness.events(("ann", "purchase", "i0"), ("ann", "click", "i2"))
    harness.share_statistics()
    harness.waiting()


def lists_of(harness, *users):
    for user in users:
        harness.tracker.queue.add(0, user.encode(), "refresh", 0.0)
    harness.now_ms += 2000
    batch = harness.tracker.queue.next_batch(4000)
    return harness.tracker.refresh(0, batch.due, harness.now_ms, harness.now_ms / 1000)

"""A small catalogue with statistics, to rank and publish from."""

from __future__ import annotations

import numpy as np
from item_records import ItemRecord, days, pack_record

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from models.items.stats import ItemStatistics

NOW_MS = 1_767_225_600_000


ITEMS = 15


IDS = [f"item-{n}" for n in range(ITEMS)]


HASHES = np.array([item_hash(item_id) for item_id in IDS], np.uint64)


def world(rng, unavailable=(), untold=False):
    index = ItemIndex()
    index.intern(HASHES)
    catalog = Catalog.empty(index).apply(
        {i: CatalogItem(i, f"Title of {i}", available=i not in unavailable) for i in IDS}
    )
    stats = ItemStatistics(index, 8)
    for n in range(0 if untold else ITEMS):
        near = {int(HASHES[m]): float(rng.random() * 3) for m in rng.permutation(ITEMS)[:6] if m != n}
        count = int(rng.integers(0, 30))
        stats.put(
            [n], [pack_record(ItemRecord(count, NOW_MS, NOW_MS, days(count / 3, count / 2, count), neighbours=near))]
        )
    return catalog, stats

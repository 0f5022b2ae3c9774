"""Compiles what runs compiled of item statistics, before events wait for it."""

from __future__ import annotations

import numpy as np

from models.items.co_occurrence import batch_deltas
from models.items.index import ItemIndex
from models.items.record import pack_deltas
from models.items.rows import ItemRows
from models.items.stats import ItemStatistics


def warm_up() -> None:
    """A delta of one engagement, packed, applied; its record, packed, put."""
    one, none = np.ones(1, np.uint64), np.empty(0, np.uint64)
    _, deltas = batch_deltas(
        one,
        np.ones(1, np.int64),
        np.zeros(1, np.uint8),
        np.ones(1, np.bool_),
        one[:, None] + one,
        1.0,
        1.0,
        exposed=none,
        clicked=none,
        source_partition=0,
        source_offset=0,
    )
    rows = ItemRows(1)
    at = rows.add([None])
    rows.apply(at, pack_deltas(deltas)[:1])
    stats = ItemStatistics(ItemIndex(), 1)
    stats.put([0], rows.pack(at))

"""What a sequence model adds to the ranking: the items it expects most of a user, by how much more than the last of them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.items.index import ItemIndex
from models.ranking.rank import SequenceScores
from models.sequence.items import ItemTable
from models.sequence.model import SequenceModel

EXPECTED: Final = 200
"""Items named per user."""


def expectation(
    model: SequenceModel,
    items: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    lengths: NDArray[np.int64],
    now_ms: NDArray[np.int64],
    index: ItemIndex,
    k: int = EXPECTED,
    table: ItemTable | None = None,
) -> SequenceScores:
    """The k items that are likeliest to follow, of u users.

    Their value is log-probability minus that of the k-th, so it is 0 where the model says nothing and a sum of parts stays one.

    Args:
        model: open; a cold item has a place only if it was put there.
        items: (u, t) uint64 hashes, oldest first, at the left.
        times_ms: (u, t) int64, ascending.
        lengths: (u,) int64.
        now_ms: (u,) int64.
        index: of the ranking.
        k: items named.
        table: the state of the model's items; None = the current one.
    """
    table = table or model.items.table
    rows = np.where(items != 0, model.items.rows_of_hashes(items), -1).astype(np.int32)
    found = model.top_k(
        model.queries(rows, times_ms, lengths, now_ms, table), min(k, max(1, len(table.vectors))), table=table
    )
    named = found.items >= 0
    dense = index.lookup(model.items.hashes(found.items)).astype(np.int32)
    last = np.where(named, found.log_probability, np.inf).min(axis=1, keepdims=True)
    values = np.where(named & (dense >= 0), found.log_probability - last, 0.0).astype(np.float32)
    return SequenceScores(np.where(named, dense, -1).astype(np.int32), values)

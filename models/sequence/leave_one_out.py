"""What the sequence model's expectation would be without each event of a history, all variants in one batch.

A removed event leaves no gap: later ones move up a position and the time to the next event is taken between those that are
left. The differences are leave-one-out (Robnik-Sikonja and Kononenko, "Explaining Classifications for Individual Instances",
TKDE 2008); *they do not add up*: two events that say the same each look dispensable, two that only say something together each
look like everything. What they leave over is the residual.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8, U64
from models.items.index import ItemIndex
from models.sequence.expectation import expectation
from models.sequence.model import SequenceModel

BASE_ROWS = 2
"""Variants of a history beside one per event: all of it, none of it."""


class LeftOut(NamedTuple):
    """Of one history of n events and c items; expectations as in `models.sequence.expectation`, >= 0."""

    items: U64
    """(n,) uint64 hashes, oldest first."""
    times_ms: I8
    """(n,) int64."""
    whole: F8
    """(c,) with all events."""
    nothing: F8
    """(c,) with none: what is expected of somebody whose history is empty."""
    without: F8
    """(n, c) without each."""

    @property
    def differences(self) -> F8:
        """(n, c): with all events minus without this one. Not parts of a sum."""
        return self.whole - self.without

    @property
    def residual(self) -> F8:
        """(c,): `whole - nothing` minus the differences."""
        left: F8 = self.whole - self.nothing - self.differences.sum(axis=0)
        return left


def with_only(items: U64, times_ms: I8, present: NDArray[np.bool_]) -> tuple[U64, I8, I8]:
    """A history (n,) once for each row of `present` (m, n), with only the events that are True: items and times (m, n), oldest
    first at the left, 0 beyond the lengths (m,)."""
    order = np.argsort(~present, axis=1, kind="stable")
    left = np.take_along_axis(present, order, axis=1)
    kept_items = np.where(left, items[order], np.uint64(0))
    return kept_items, np.where(left, times_ms[order], 0), present.sum(axis=1)


def expected_with(
    model: SequenceModel, items: U64, times_ms: I8, present: NDArray[np.bool_], now_ms: int, index: ItemIndex,
    asked: NDArray[np.int32],
) -> F8:  # fmt: skip
    """(m, c) float64: the expectation of items `asked` (c,) for each row of `present`; 0 for what is not expected."""
    variants = with_only(items, times_ms, present)
    found = expectation(model, *variants, np.full(len(present), now_ms), index)
    return _of(found.items, found.values, asked)


def leave_one_out(
    model: SequenceModel,
    items: U64,
    times_ms: I8,
    lengths: I8,
    now_ms: I8,
    index: ItemIndex,
    asked: NDArray[np.int32],
) -> list[LeftOut]:
    """Of u users, in one batch of the sum of their lengths and two rows each.

    Args:
        model: open.
        items: (u, t) uint64 hashes, oldest first, at the left.
        times_ms: (u, t) int64, ascending.
        lengths: (u,) int64.
        now_ms: (u,) int64.
        index: of the ranking.
        asked: (u, c) int32 dense indices, -1 pads (their expectation is 0).
    """
    if not len(lengths):
        return []
    width = items.shape[1]
    used = np.arange(width)
    presents, variants = [], []
    for u, n in enumerate(lengths.tolist()):
        everything = used < n
        present = np.vstack([everything, np.zeros(width, np.bool_), everything & (used != np.arange(n)[:, None])])
        presents.append(len(present))
        variants.append(with_only(items[u], times_ms[u], present))
    rows = [np.concatenate(each) for each in zip(*variants, strict=True)]
    found = expectation(model, rows[0], rows[1], rows[2], np.repeat(now_ms, presents), index)
    answers, start = [], 0
    for u, (n, size) in enumerate(zip(lengths.tolist(), presents, strict=True)):
        part = slice(start, start + size)
        values = _of(found.items[part], found.values[part], asked[u])
        answers.append(LeftOut(items[u, :n], times_ms[u, :n], values[0], values[1], values[BASE_ROWS:]))
        start += size
    return answers


def _of(items: NDArray[np.int32], values: NDArray[np.float32], asked: NDArray[np.int32]) -> F8:
    """(m, c): the value of each asked item in each row, 0 where it is not named."""
    named = items[:, :, None] == asked[None, None, :]
    found: F8 = np.where(named & (asked >= 0), values[:, :, None], np.float32(0)).sum(axis=1, dtype=np.float64)
    return found

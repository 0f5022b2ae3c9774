"""What a batch of events adds to item statistics: pairs of items, and one delta per item touched.

Decaying what is written by the position in the history is the largest single gain over plain co-occurrence that we
measured (design notes, "Relevance"): an item just seen is more to do with the new one than an item seen twenty items
ago.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import U64
from models.calendar import DAY_MS, EPOCH_WEEKDAY, HOUR_MS
from models.compiled import compiled
from models.hashing import NO_ITEM
from models.items.record import MOMENT_STARTS, MOMENTS, NEVER_MS, DeltaColumns
from models.items.rows import ENTRY_MS, TREND_MS


class CoOccurrences(NamedTuple):
    """What engagements add to the co-occurrence of items: every pair once, ascending by source, then destination."""

    source: U64
    """(p,) uint64."""
    destination: U64
    """(p,) uint64."""
    weight: NDArray[np.float64]
    """(p,) float64: C[source, destination] += weight."""
    forward: NDArray[np.float64]
    """(p,) float64: F[source, destination] += forward; 0 where the source never came before the destination."""


class Withdrawn(NamedTuple):
    """What engagements had added, and is to be taken out again: of people who are erased. (m,) where not said."""

    item: U64
    time_ms: NDArray[np.int64]
    context: NDArray[np.uint8]
    is_entry: NDArray[np.bool_]
    history: U64
    """(m, H), as in `pair_increments`."""
    decays: NDArray[np.float64]
    """(m, 2): the decays of pairs and of forward pairs with which each was added."""
    exposed: U64
    """(e,)."""
    clicked: U64
    """(c,)."""

    @property
    def items(self) -> U64:
        """(n,) distinct items that something is taken from, ascending."""
        found = np.unique(np.concatenate((self.item, self.history.ravel(), self.exposed, self.clicked)))
        items: U64 = found[found != NO_ITEM]
        return items


NOTHING = 1e-12
"""What is left of a sum where all that was added has been taken out, by rounding."""


class _Groups(NamedTuple):
    """Engagements that count alike."""

    of: NDArray[np.int64]
    """(m,) the group of each engagement."""
    sign: NDArray[np.float64]
    """(g,) 1, or -1 where it is taken out."""
    pair_decay: list[float]
    forward_decay: list[float]


def pair_increments(
    new_item: U64, history: U64, pair_decay: float, forward_decay: float, groups: _Groups | None = None
) -> CoOccurrences:
    """Increments of the co-occurrence matrices by first-time engagements of users with `new_item`.

    With h_1 (newest), h_2, .. the items a user had before and b the new one:
    C[h_q, b] += d^(q-1), C[b, h_q] += d^(q-1), and F[h_q, b] += f^(q-1): what follows what.

    Args:
        new_item: (m,) uint64, one per engagement.
        history: (m, H) uint64, newest first, distinct, padded with 0; a place that holds `new_item` itself
            adds nothing.
        pair_decay, forward_decay: d and f, in (0, 1].
        groups: engagements with other decays, or that are taken out; None: all count alike.
    """
    if groups is None:
        groups = _Groups(np.zeros(new_item.size, np.int64), np.ones(1), [pair_decay], [forward_decay])
    n_groups = len(groups.sign)
    real = (history != NO_ITEM) & (history != new_item[:, None]) & (new_item[:, None] != NO_ITEM)
    row, place = np.nonzero(real)
    number, hashes = _numbered(np.concatenate((new_item, history.ravel())))
    new, old = number[: new_item.size][row], number[new_item.size :].reshape(history.shape)[row, place]
    # Pair, place, direction and group in one integer: sorting integers is many times faster than finding an order, and what
    # is summed is then summed in the same order however the engagements came.
    width = 2 * max(1, history.shape[1]) * n_groups
    coded = np.concatenate((new * hashes.size + old, old * hashes.size + new)) * width
    direction = 2 * np.tile(place, 2) + np.repeat(np.array([0, 1]), place.size)
    coded += direction if n_groups == 1 else direction * n_groups + np.tile(groups.of[row], 2)
    coded.sort()
    pair, place = np.divmod(coded, width)
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    place, group = (place, 0) if n_groups == 1 else np.divmod(place, n_groups)
    place, is_forward = np.divmod(place, 2)
    distance = np.arange(max(1, history.shape[1]), dtype=np.float64)
    pairs, forwards = (
        np.stack([sign * decay**distance for sign, decay in zip(groups.sign, decays, strict=True)])
        for decays in (groups.pair_decay, groups.forward_decay)
    )
    weight = _summed(pairs[group, place], starts)
    forward = _summed(np.where(is_forward, forwards[group, place], 0.0), starts)
    source, destination = np.divmod(pair[starts], max(1, hashes.size))
    return CoOccurrences(hashes[source], hashes[destination], weight, forward)


def _summed(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    summed: NDArray[np.float64] = np.add.reduceat(values, starts) if starts.size else np.empty(0)
    return summed


def _numbered(values: U64) -> tuple[NDArray[np.int64], U64]:
    """`(number of each value, (n,) distinct values ascending)`: what `np.unique` gives, in a fraction of its time."""
    distinct, found = np.empty(values.size, np.uint64), np.empty(values.size, np.int64)
    n = _number(values, np.zeros(1 << (2 * values.size).bit_length(), np.int64), distinct, found)
    order = np.argsort(distinct[:n])
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    return rank[found], distinct[:n][order]


@compiled
def _number(values: U64, table: NDArray[np.int64], distinct: U64, found: NDArray[np.int64]) -> int:
    """Open addressing: `table` holds 1 + the number of a value; its size is a power of 2 above that of `values`."""
    n, mask = 0, np.uint64(len(table) - 1)
    for i in range(len(values)):
        value = values[i]
        at = ((value ^ (value >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & mask
        while table[at] != 0 and distinct[table[at] - 1] != value:
            at = (at + np.uint64(1)) & mask
        if table[at] == 0:
            distinct[n] = value
            n += 1
            table[at] = n
        found[i] = table[at] - 1
    return n


def batch_deltas(
    new_item: U64,
    new_item_ms: NDArray[np.int64],
    new_context: NDArray[np.uint8],
    is_entry: NDArray[np.bool_],
    history: U64,
    pair_decay: float,
    forward_decay: float,
    *,
    exposed: U64,
    clicked: U64,
    source_partition: int,
    source_offset: int,
    withdrawn: Sequence[Withdrawn] = (),
) -> tuple[U64, DeltaColumns]:
    """`(items, deltas)`: one delta per item that a batch touches, by item ascending.

    Args:
        new_item: (m,) uint64, the items of first-time engagements.
        new_item_ms: (m,) int64, their event times.
        new_context: (m,) uint8, their context buckets, 0 to 7.
        is_entry: (m,) bool, whether each was the first of its user with anything.
        history: (m, H) uint64, as in `pair_increments`.
        pair_decay, forward_decay: as in `pair_increments`.
        exposed: (e,) uint64, one per exposure.
        clicked: (c,) uint64, one per click on an exposed item.
        source_partition, source_offset: where the batch comes from, and the last event in it.
        withdrawn: what is taken out, of each person who is erased.
    """
    sign, groups, taken = np.ones(new_item.size, np.int64), None, _NOTHING_TAKEN
    if withdrawn:
        new_item, new_item_ms, new_context, is_entry, history, sign, groups, taken = _with_withdrawn(
            _Added(new_item, new_item_ms, new_context, is_entry, history, pair_decay, forward_decay), withdrawn
        )
    source, destination, weight, forward = pair_increments(new_item, history, pair_decay, forward_decay, groups)
    if withdrawn:  # what came and went within the batch was never there
        real = (np.abs(weight) > NOTHING) | (np.abs(forward) > NOTHING)
        source, destination, weight, forward = source[real], destination[real], weight[real], forward[real]
    items = np.unique(np.concatenate((new_item, source, exposed, clicked, *taken)))
    items = items[items != NO_ITEM]
    engaged = new_item != NO_ITEM
    at, times_ms = np.searchsorted(items, new_item[engaged]), new_item_ms[engaged]
    first_seen_ms = np.full(items.size, NEVER_MS, np.int64)
    signs = sign[engaged]
    stays = signs > 0
    np.minimum.at(first_seen_ms, at[stays], times_ms[stays])
    trend_ms = np.zeros(items.size, np.int64)
    np.maximum.at(trend_ms, at, times_ms)
    age_ms = (trend_ms[at] - times_ms).astype(np.float64)
    entered = is_entry[engaged]

    def decayed(of: NDArray[np.bool_], constants: tuple[float, ...]) -> NDArray[np.float64]:
        sums = [
            np.bincount(at[of], weights=signs[of] * np.exp(-age_ms[of] / each), minlength=items.size)
            for each in constants
        ]
        return np.stack(sums, axis=1)

    starts = np.append(np.searchsorted(source, items), source.size)
    moments = np.zeros((items.size, MOMENTS), np.int64)
    np.add.at(moments, (at[:, None], moment_bins(times_ms, new_context[engaged])), signs[:, None])
    deltas = DeltaColumns(
        source_partition=np.full(items.size, source_partition, np.int64),
        source_offset=np.full(items.size, source_offset, np.int64),
        count=_counted(new_item[sign > 0], items) - _counted(new_item[sign < 0], items),
        first_seen_ms=first_seen_ms,
        trend_ms=trend_ms,
        trend=decayed(np.ones(at.size, np.bool_), TREND_MS),
        entry=decayed(entered, ENTRY_MS),
        exposures=_counted(exposed, items) - _counted(taken.exposed, items),
        clicks=_counted(clicked, items) - _counted(taken.clicked, items),
        moments=moments,
        neighbour_start=starts.astype(np.int64),
        neighbours=destination,
        neighbour_weights=weight,
        neighbour_forwards=forward,
    )
    return (items, deltas) if not withdrawn else _that_change_something(items, deltas)


class _Added(NamedTuple):
    """The first arguments of `batch_deltas`."""

    item: U64
    time_ms: NDArray[np.int64]
    context: NDArray[np.uint8]
    is_entry: NDArray[np.bool_]
    history: U64
    pair_decay: float
    forward_decay: float


class _Taken(NamedTuple):
    """Exposures and clicks that are taken out."""

    exposed: U64
    clicked: U64


_NOTHING_TAKEN = _Taken(np.zeros(0, np.uint64), np.zeros(0, np.uint64))

_AllEngagements = tuple[
    U64,
    NDArray[np.int64],
    NDArray[np.uint8],
    NDArray[np.bool_],
    U64,
    NDArray[np.int64],
    _Groups,
    _Taken,
]


def _with_withdrawn(added: _Added, withdrawn: Sequence[Withdrawn]) -> _AllEngagements:
    """Engagements that are added and behind them those that are taken out: items, times, contexts, entries, histories,
    signs, and the groups that count alike."""
    parts = [(added.item, added.time_ms, added.context, added.is_entry), *(w[:4] for w in withdrawn)]
    item, time_ms, context, is_entry = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    histories = [added.history, *(w.history for w in withdrawn)]
    width = max(history.shape[1] for history in histories)
    history = np.concatenate([np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in histories])
    n_added = len(added.item)
    sign = np.where(np.arange(len(item)) < n_added, 1, -1)
    own = np.tile([added.pair_decay, added.forward_decay], (n_added, 1)).reshape(n_added, 2)
    kinds, of = np.unique(
        np.column_stack((sign, np.concatenate([own, *(w.decays for w in withdrawn)]))), axis=0, return_inverse=True
    )
    groups = _Groups(of.reshape(-1).astype(np.int64), kinds[:, 0], kinds[:, 1].tolist(), kinds[:, 2].tolist())
    if not len(kinds):
        groups = _Groups(np.zeros(0, np.int64), np.ones(1), [added.pair_decay], [added.forward_decay])
    taken = _Taken(*(np.concatenate([getattr(w, name) for w in withdrawn]) for name in _Taken._fields))
    return item, time_ms, context, is_entry, history, sign, groups, taken


def _that_change_something(items: U64, deltas: DeltaColumns) -> tuple[U64, DeltaColumns]:
    """Without those of items of which all that came went in the same batch."""
    changes = np.diff(deltas.neighbour_start) > 0
    for name in ("count", "exposures", "clicks"):
        changes |= getattr(deltas, name) != 0
    for name in ("trend", "entry", "moments"):
        changes |= (np.abs(getattr(deltas, name)) > NOTHING).any(axis=1)
    lengths = np.diff(deltas.neighbour_start)[changes]
    per_item = {
        name: getattr(deltas, name)[changes] for name in DeltaColumns._fields if not name.startswith("neighbour")
    }
    return items[changes], deltas._replace(
        **per_item, neighbour_start=np.append(0, np.cumsum(lengths)).astype(np.int64)
    )


def moment_bins(times_ms: NDArray[np.int64], context: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(m, 3) int64: the bins of `record.MOMENTS` that behaviours at these times (UTC) in these contexts fall in."""
    hour = times_ms // HOUR_MS % 24
    weekday = (times_ms // DAY_MS + EPOCH_WEEKDAY) % 7
    return np.stack((hour // 3, MOMENT_STARTS[1] + weekday, MOMENT_STARTS[2] + (context & 7)), axis=1).astype(np.int64)


def _counted(hashes: U64, items: U64) -> NDArray[np.int64]:
    """How often each of `items` occurs in `hashes`."""
    return np.bincount(np.searchsorted(items, hashes[hashes != NO_ITEM]), minlength=items.size).astype(np.int64)

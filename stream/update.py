"""How a chunk of events changes many users' states at once. Pure; no Python per event.

The result equals applying the events one by one in offset order, however the topic is cut into chunks
(tests/test_update.py compares with a sequential reference).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.interest import behaviour_gain
from stream.events import ACTIONS
from stream.older import HalfLives, Older, fold_older
from stream.state import (
    ACTION_MASK,
    CONTEXT_SHIFT,
    EXPOSURES,
    FIRST_BIT,
    RING,
    States,
    dwell_ms_of,
)

IMPRESSION = ACTIONS.index("impression")
QUERY = ACTIONS.index("query")
PURCHASE = ACTIONS.index("purchase")
CLICK = ACTIONS.index("click")

UNKNOWN_STRATEGY = 255

ROUND = RING // 2
"""Behaviours of one user applied at a time: few enough that what they push out of the ring was in it before."""

DAY_S = 86_400


class EventColumns(NamedTuple):
    """Decoded events of one partition in offset order; every array is `(n,)`."""

    row: NDArray[np.int64]
    """Row of the user in `States`."""
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    item: NDArray[np.uint64]
    """Hash of the item, or of the text of a query."""
    action: NDArray[np.uint8]
    """Position in `ACTIONS`."""
    context: NDArray[np.uint8]
    """Context bucket 0 (none) to 7."""
    dwell: NDArray[np.uint8]
    """`state.dwell_code` of the dwell time."""
    event_id: NDArray[np.uint32]
    """24-bit hash of the event id; 0 = none."""
    slot: NDArray[np.uint8]
    """Impressions: position in the list that was shown."""

    def take(self, index: NDArray[np.generic]) -> EventColumns:
        """The events at `index` (positions or mask)."""
        return EventColumns(*(column[index] for column in self))


class UpdateParams(NamedTuple):
    """What the update needs of the settings."""

    strengths: NDArray[np.float64]
    """Interest strength per action code."""
    dwell_saturation_ms: float
    pair_window: int
    long_half_life_s: float = 30 * DAY_S
    short_half_life_s: float = 3 * DAY_S
    histogram_half_life_s: float = 30 * DAY_S


class Changes(NamedTuple):
    """What a chunk changed; the item columns feed the item statistics."""

    rows: NDArray[np.int64]
    """Users with at least one event that was new, each once, ascending."""
    n_applied: int
    n_fenced: int
    """Skipped: at or below the user's fence, that is, applied before a crash or a rebalance."""
    n_repeats: int
    """Skipped: the event_id of a behaviour still remembered."""
    applied: NDArray[np.bool_]
    """`(n,)`: which of the given events were applied."""
    first_item: NDArray[np.uint64]
    """`(m,)` items that a user engaged with for the first time within the ring."""
    first_time_ms: NDArray[np.int64]
    first_history: NDArray[np.uint64]
    """`(m, pair_window)` earlier first engagements of that user, newest first; 0 pads."""
    exposed_item: NDArray[np.uint64]
    clicked_item: NDArray[np.uint64]


def apply_events(states: States, events: EventColumns, params: UpdateParams) -> Changes:
    """Apply the events of one partition, in offset order, to `states` in place."""
    fresh = events.offset > states.fence[events.row]
    repeats = fresh & _repeats(states, events, fresh)
    np.maximum.at(states.fence, events.row[fresh], events.offset[fresh])
    applied = fresh & ~repeats
    new = events.take(applied)
    _count(states, new)
    shown = new.action == IMPRESSION
    _append_exposures(states, new.take(shown))
    firsts = _append_behaviours(states, new.take(~shown), params)
    return Changes(
        rows=np.unique(events.row[fresh]),
        n_applied=len(new.row),
        n_fenced=int(len(fresh) - fresh.sum()),
        n_repeats=int(repeats.sum()),
        applied=applied,
        first_item=firsts[0],
        first_time_ms=firsts[1],
        first_history=firsts[2],
        exposed_item=new.item[shown],
        clicked_item=new.item[new.action == CLICK],
    )


def gain_of(action: NDArray[np.uint8], dwell: NDArray[np.uint8], params: UpdateParams) -> NDArray[np.float64]:
    """Interest shown by behaviours as they are stored: action codes and dwell codes, same shape."""
    return behaviour_gain(action, dwell_ms_of(dwell), params.strengths, params.dwell_saturation_ms)


def _count(states: States, new: EventColumns) -> None:
    unseen = np.unique(new.row[states.events[new.row] == 0])
    states.first_s[unseen] = np.iinfo(np.uint32).max
    states.last_ms[unseen] = np.iinfo(np.int64).min
    np.minimum.at(states.first_s, new.row, (new.time_ms // 1000).astype(np.uint32))
    np.maximum.at(states.last_ms, new.row, new.time_ms)
    np.add.at(states.events, new.row, np.uint32(1))


# --- repeats of an event_id ---


def _repeats(states: States, events: EventColumns, fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which events carry the event_id of one still remembered, with the same item and action.

    A vectorised look finds users who may have one; only those are then gone through one by one, since whether a behaviour
    is still remembered depends on how many were accepted since.
    """
    repeats = np.zeros(len(events.row), bool)
    given = np.flatnonzero(fresh & (events.event_id > 0))
    if not len(given):
        return repeats
    row, item = events.row[given], events.item[given]
    in_ring = (states.event_id[row] == events.event_id[given][:, None]) & (states.item[row] == item[:, None])
    suspect = in_ring.any(axis=1)
    same_id = np.lexsort((item, events.event_id[given], row))
    twice = (
        (np.diff(row[same_id]) == 0)
        & (np.diff(events.event_id[given][same_id].astype(np.int64)) == 0)
        & (item[same_id][1:] == item[same_id][:-1])
    )
    suspect[same_id[1:][twice]] = True
    for user in np.unique(row[suspect]).tolist():
        _mark_repeats_of(states, user, events, np.flatnonzero(fresh & (events.row == user)), repeats)
    return repeats


def _mark_repeats_of(
    states: States, row: int, events: EventColumns, indices: NDArray[np.int64], repeats: NDArray[np.bool_]
) -> None:
    slots, lengths = states.chronological(np.array([row]))
    remembered: deque[tuple[int, int, int]] = deque(maxlen=RING)
    for slot in slots[0, : lengths[0]].tolist():
        kind = int(states.kind[row, slot] & ACTION_MASK)
        remembered.append((int(states.event_id[row, slot]), int(states.item[row, slot]), kind))
    for i in indices.tolist():
        if events.action[i] == IMPRESSION:
            continue
        identity = (int(events.event_id[i]), int(events.item[i]), int(events.action[i]))
        if identity[0] and identity in remembered:
            repeats[i] = True
        else:
            remembered.append(identity)


# --- exposures ---


def _append_exposures(states: States, shown: EventColumns) -> None:
    if not len(shown.row):
        return
    users, _, rank, counts = _by_user(shown.row)
    order = np.argsort(shown.row, kind="stable")
    shown = shown.take(order)
    kept = rank >= np.repeat(counts, counts) - EXPOSURES
    slot = (states.n_exposures[shown.row] + rank) % EXPOSURES
    at = (shown.row[kept], slot[kept])
    states.exposed_item[at] = (shown.item[kept] >> np.uint64(32)).astype(np.uint32)
    states.exposed_s[at] = (shown.time_ms[kept] // 1000).astype(np.uint32)
    states.exposed_slot[at] = shown.slot[kept]
    states.exposed_strategy[at] = UNKNOWN_STRATEGY
    states.exposed_propensity[at] = 0
    states.n_exposures[users] += counts


# --- behaviours ---

_Firsts = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64]]


def _append_behaviours(states: States, new: EventColumns, params: UpdateParams) -> _Firsts:
    none: _Firsts = (np.empty(0, "u8"), np.empty(0, "i8"), np.empty((0, params.pair_window), "u8"))
    if not len(new.row):
        return none
    new = new.take(np.argsort(new.row, kind="stable"))
    _, _, rank, _ = _by_user(new.row)
    rounds = [_append_round(states, new.take(rank // ROUND == k), params) for k in range(int(rank.max()) // ROUND + 1)]
    return rounds[0] if len(rounds) == 1 else tuple(np.concatenate(column) for column in zip(*rounds, strict=True))  # type: ignore[return-value]


def _append_round(states: States, new: EventColumns, params: UpdateParams) -> _Firsts:
    """Append at most `ROUND` behaviours a user; `new` is sorted by row, stable in offset."""
    users, user, rank, counts = _by_user(new.row)
    slots, lengths = states.chronological(users)
    at = users[:, None]
    ring = _Ring(states.item[at, slots], states.kind[at, slots], lengths)
    n_evicted = np.maximum(0, lengths[user] + rank - RING)
    first = _first_engagements(ring, new, user, rank, n_evicted, params)
    history = _histories(ring, new, user, rank, n_evicted, first, params.pair_window)
    leaving = np.flatnonzero(lengths[user] + rank >= RING)
    left = slots[user[leaving], n_evicted[leaving]]
    if len(leaving):
        older = _older(states, new.row[leaving], left, params)
        half_lives = HalfLives(params.long_half_life_s, params.short_half_life_s, params.histogram_half_life_s)
        fold_older(states, older, rank[leaving] - (RING - lengths[user[leaving]]), half_lives)
    slot = (states.n_ring[new.row] + rank) % RING
    to = (new.row, slot)
    states.item[to], states.time_ms[to] = new.item, new.time_ms
    states.kind[to] = new.action | (first * FIRST_BIT).astype(np.uint8) | (new.context << CONTEXT_SHIFT)
    states.dwell[to], states.event_id[to] = new.dwell, new.event_id
    states.n_ring[users] += counts
    return new.item[first], new.time_ms[first], history


def _older(states: States, rows: NDArray[np.int64], slots: NDArray[np.int64], params: UpdateParams) -> Older:
    action = states.kind[rows, slots] & ACTION_MASK
    return Older(
        row=rows,
        item=states.item[rows, slots],
        time_s=states.time_ms[rows, slots] // 1000,
        context=states.kind[rows, slots] >> CONTEXT_SHIFT,
        gain=np.where(action == QUERY, 0.0, gain_of(action, states.dwell[rows, slots], params)),
        bought=action == PURCHASE,
    )


class _Ring(NamedTuple):
    """Rings of the users of a round before it, oldest first: `(u, RING)` each, `(u,)` lengths."""

    item: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    length: NDArray[np.int64]

    @property
    def used(self) -> NDArray[np.bool_]:
        return np.less(np.arange(RING)[None, :], self.length[:, None])


def _first_engagements(
    ring: _Ring,
    new: EventColumns,
    user: NDArray[np.int64],
    rank: NDArray[np.int64],
    n_evicted: NDArray[np.int64],
    params: UpdateParams,
) -> NDArray[np.bool_]:
    """Positive behaviours on an item that no positive behaviour still in the ring is about; `(n,)`."""
    liked: NDArray[np.bool_] = params.strengths > 0
    liked[QUERY] = False
    positive = liked[new.action]
    counts_as_known = ring.used & liked[ring.kind & ACTION_MASK]
    alive = np.arange(RING) >= n_evicted[:, None]
    known = ((ring.item[user] == new.item[:, None]) & counts_as_known[user] & alive).any(axis=1)
    order = np.lexsort((rank, ~positive, new.item, user))
    again = (np.diff(user[order]) == 0) & (new.item[order][1:] == new.item[order][:-1]) & positive[order][:-1]
    known[order[1:][again]] = True
    first: NDArray[np.bool_] = positive & ~known
    return first


def _histories(
    ring: _Ring,
    new: EventColumns,
    user: NDArray[np.int64],
    rank: NDArray[np.int64],
    n_evicted: NDArray[np.int64],
    first: NDArray[np.bool_],
    window: int,
) -> NDArray[np.uint64]:
    """Per first engagement the user's earlier ones still in the ring then, newest first: `(m, window)`, 0 pads."""
    m = int(first.sum())
    if not m:
        return np.empty((0, window), np.uint64)
    width = RING + int(rank.max()) + 1
    items = np.zeros((len(ring.length), width), np.uint64)
    flags = np.zeros((len(ring.length), width), bool)
    items[:, :RING], flags[:, :RING] = ring.item, ring.used & (ring.kind & FIRST_BIT > 0)
    items[user, RING + rank], flags[user, RING + rank] = new.item, first
    count = np.cumsum(flags, axis=1)
    firsts = np.zeros_like(items)
    at = np.nonzero(flags)
    firsts[at[0], count[at] - 1] = items[at]
    user, rank, n_evicted = user[first], rank[first], n_evicted[first]
    position = count[user, RING + rank] - 1
    gone = np.where(n_evicted > 0, count[user, np.maximum(n_evicted - 1, 0)], 0)
    earlier = position[:, None] - 1 - np.arange(window)
    history: NDArray[np.uint64] = np.where(
        earlier >= gone[:, None], firsts[user[:, None], np.maximum(earlier, 0)], np.uint64(0)
    )
    return history


def _by_user(
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of rows, grouped stably: `(users (u,), index of the user (n,), rank within the user (n,), counts (u,))`.

    The `(n,)` arrays are in the order of the stably sorted rows.
    """
    ordered = np.sort(rows, kind="stable")
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, len(ordered)])
    user = np.repeat(np.arange(len(starts)), counts)
    return ordered[starts], user, np.arange(len(ordered)) - np.repeat(starts, counts), counts

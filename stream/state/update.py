"""How events change users' states: one after another in offset order, in a compiled loop over the chunk's columns. Pure.

So it does not matter how the topic is cut into chunks (its test compares with a reference in plain Python).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_S
from models.compiled import compiled, compiled_part
from models.ranking.recent import behaviour_gain
from models.vocabulary import CLICK, DISLIKE, IMPRESSION, PURCHASE, QUERY, REFUND
from stream.state.fold import HalfLives, fold
from stream.state.record import (
    ACTION_MASK,
    BOUGHT,
    CONTEXT_SHIFT,
    EXPOSURES,
    FIRST_BIT,
    RING,
    StateColumns,
    States,
    dwell_ms_of,
    pack,
    unpack,
)

UNKNOWN_STRATEGY = 255


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
    first_event: NDArray[np.int64]
    """`(m,)` positions among the given events."""
    first_context: NDArray[np.uint8]
    """`(m,)` context buckets."""
    first_is_entry: NDArray[np.bool_]
    """`(m,)` whether the user is not known to have engaged with anything before."""
    first_history: NDArray[np.uint64]
    """`(m, pair_window)` earlier first engagements of that user, newest first; 0 pads."""
    exposed_item: NDArray[np.uint64]
    clicked_item: NDArray[np.uint64]


def apply_events(states: States, events: EventColumns, params: UpdateParams) -> Changes:
    """Apply the events of one partition, in offset order, to `states` in place."""
    n = len(events.row)
    fate = np.empty(n, np.uint8)
    first_item, first_time_ms = np.empty(n, np.uint64), np.empty(n, np.int64)
    first_event, first_context = np.empty(n, np.int64), np.empty(n, np.uint8)
    first_is_entry = np.empty(n, np.bool_)
    first_history = np.zeros((n, params.pair_window), np.uint64)
    liked = params.strengths > 0
    liked[QUERY] = False
    half_lives = HalfLives(params.long_half_life_s, params.short_half_life_s, params.histogram_half_life_s)
    first = _First(first_item, first_time_ms, first_event, first_context, first_is_entry, first_history)
    m = _apply(states.columns, events, _gains(params), liked, half_lives, fate, first)
    applied = fate == _APPLIED
    return Changes(
        rows=np.unique(events.row[fate != _FENCED]),
        n_applied=int(applied.sum()),
        n_fenced=int((fate == _FENCED).sum()),
        n_repeats=int((fate == _REPEAT).sum()),
        applied=applied,
        first_item=first_item[:m].copy(),
        first_time_ms=first_time_ms[:m].copy(),
        first_event=first_event[:m].copy(),
        first_context=first_context[:m].copy(),
        first_is_entry=first_is_entry[:m].copy(),
        first_history=first_history[:m].copy(),
        exposed_item=events.item[applied & (events.action == IMPRESSION)],
        clicked_item=events.item[applied & (events.action == CLICK)],
    )


def gain_of(action: NDArray[np.uint8], dwell: NDArray[np.uint8], params: UpdateParams) -> NDArray[np.float64]:
    """Interest shown by behaviours as they are stored: action codes and dwell codes, same shape."""
    return behaviour_gain(action, dwell_ms_of(dwell), params.strengths, params.dwell_saturation_ms)


def _gains(params: UpdateParams) -> NDArray[np.float64]:
    """`gain_of` every action code and dwell code, `(16, 256)`; 0 for queries, which are about no item."""
    action, dwell = np.arange(len(params.strengths), dtype=np.uint8), np.arange(256, dtype=np.uint8)
    gains = np.zeros((ACTION_MASK + 1, 256))
    gains[: len(action)] = gain_of(action[:, None], dwell[None, :], params)
    gains[QUERY] = 0.0
    return gains


def warm_up(params: UpdateParams) -> None:
    """Have the loops compiled (the first time on a machine: some seconds) before there is a chunk that waits for them."""
    states, row = States(1), np.zeros(1, np.int64)
    zeros = np.zeros(1, np.int64)
    event = EventColumns(row, zeros, zeros + 1000, *(zeros.astype(k) for k in ("u8", "u1", "u1", "u1", "u4", "u1")))
    apply_events(states, event, params)
    unpack(States(1), row, pack(states, row))


_FENCED, _REPEAT, _APPLIED = 0, 1, 2


class _First(NamedTuple):
    """First engagements, filled from the front."""

    item: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    event: NDArray[np.int64]
    context: NDArray[np.uint8]
    is_entry: NDArray[np.bool_]
    history: NDArray[np.uint64]


@compiled
def _apply(
    c: StateColumns,
    e: EventColumns,
    gains: NDArray[np.float64],
    liked: NDArray[np.bool_],
    half_lives: HalfLives,
    fate: NDArray[np.uint8],
    firsts: _First,
) -> int:
    """Number of first engagements; `fate` says of each event what became of it."""
    m = 0
    for i in range(len(e.row)):
        r = e.row[i]
        if e.offset[i] <= c.fence[r]:
            fate[i] = _FENCED
            continue
        c.fence[r] = e.offset[i]
        action = e.action[i]
        if action != IMPRESSION and e.event_id[i] != 0 and _is_remembered(c, r, e.event_id[i], e.item[i], action):
            fate[i] = _REPEAT
            continue
        fate[i] = _APPLIED
        time_s = np.uint32(e.time_ms[i] // 1000)
        if c.events[r] == 0:
            c.first_s[r], c.last_ms[r] = time_s, e.time_ms[i]
        else:
            c.first_s[r], c.last_ms[r] = min(c.first_s[r], time_s), max(c.last_ms[r], e.time_ms[i])
        c.events[r] += np.uint32(1)
        if action == IMPRESSION:
            slot = c.n_exposures[r] % EXPOSURES
            c.exposed_item[r, slot] = np.uint32(e.item[i] >> np.uint64(32))
            c.exposed_s[r, slot], c.exposed_slot[r, slot] = time_s, e.slot[i]
            c.exposed_strategy[r, slot], c.exposed_context[r, slot] = UNKNOWN_STRATEGY, e.context[i]
            c.n_exposures[r] += 1
            continue
        if action == REFUND:
            continue  # says nothing of what the person likes; the ledger has what it takes back
        first = liked[action] and not _is_known(c, r, e.item[i], liked)
        if first:
            firsts.item[m], firsts.time_ms[m] = e.item[i], e.time_ms[i]
            firsts.event[m], firsts.context[m] = i, e.context[i]
            _write_history(c, r, firsts.history[m])
            firsts.is_entry[m] = firsts.history[m, 0] == 0 and c.older_s[r] == 0  # nothing has left the ring
            m += 1
        slot = c.n_ring[r] % RING
        if c.n_ring[r] >= RING:
            _clear_for_the_next(c, r, slot)
            kind = c.kind[r, slot]
            left = np.uint8(kind & ACTION_MASK)
            fold(
                c,
                r,
                c.item[r, slot],
                c.time_ms[r, slot] // 1000,
                kind >> CONTEXT_SHIFT,
                gains[left, c.dwell[r, slot]],
                left in (PURCHASE, DISLIKE),  # neither comes back
                half_lives,
            )
        c.item[r, slot], c.time_ms[r, slot] = e.item[i], e.time_ms[i]
        c.kind[r, slot] = action | (FIRST_BIT if first else np.uint8(0)) | np.uint8(e.context[i] << CONTEXT_SHIFT)
        c.dwell[r, slot], c.event_id[r, slot] = e.dwell[i], e.event_id[i]
        c.n_ring[r] += 1
    return m


@compiled_part
def _clear_for_the_next(c: StateColumns, r: int, slot: np.int64) -> None:
    """Bring the behaviour with the oldest event time (of equals the first that came) to `slot`, that of the first that came.

    The others keep the order of their arrival. So events that come late leave each other's place, not that of what the
    person does now.
    """
    oldest = 0
    for k in range(1, RING):
        if c.time_ms[r, (slot + k) % RING] < c.time_ms[r, (slot + oldest) % RING]:
            oldest = k
    if oldest == 0:
        return
    at = (slot + oldest) % RING
    item, time_ms, kind, dwell, event_id = (
        c.item[r, at],
        c.time_ms[r, at],
        c.kind[r, at],
        c.dwell[r, at],
        c.event_id[r, at],
    )
    for k in range(oldest, 0, -1):
        to, source = (slot + k) % RING, (slot + k - 1) % RING
        c.item[r, to], c.time_ms[r, to], c.kind[r, to] = c.item[r, source], c.time_ms[r, source], c.kind[r, source]
        c.dwell[r, to], c.event_id[r, to] = c.dwell[r, source], c.event_id[r, source]
    c.item[r, slot], c.time_ms[r, slot], c.kind[r, slot] = item, time_ms, kind
    c.dwell[r, slot], c.event_id[r, slot] = dwell, event_id


@compiled_part
def _is_remembered(c: StateColumns, r: int, event_id: np.uint32, item: np.uint64, action: np.uint8) -> bool:
    """Whether a behaviour still in the ring has this event_id, item and action."""
    for k in range(min(c.n_ring[r], RING)):
        if c.event_id[r, k] == event_id and c.item[r, k] == item and (c.kind[r, k] & ACTION_MASK) == action:
            return True
    return False


@compiled_part
def _is_known(c: StateColumns, r: int, item: np.uint64, liked: NDArray[np.bool_]) -> bool:
    """Whether a positive behaviour still in the ring is about this item, or a purchase or dislike that left it (by its
    fingerprint: one item in a thousand that is none passes for one)."""
    for k in range(min(c.n_ring[r], RING)):
        if c.item[r, k] == item and liked[c.kind[r, k] & ACTION_MASK]:
            return True
    fingerprint = np.uint16(item >> np.uint64(48))
    for k in range(min(c.n_bought[r], BOUGHT)):  # noqa: SIM110  (a generator cannot be compiled)
        if c.bought[r, k] == fingerprint:
            return True
    return False


@compiled_part
def _write_history(c: StateColumns, r: int, history: NDArray[np.uint64]) -> None:
    """The first engagements still in the ring, newest first."""
    found = 0
    n = c.n_ring[r]
    for k in range(n - 1, max(-1, n - 1 - RING), -1):
        if found == len(history):
            return
        if c.kind[r, k % RING] & FIRST_BIT:
            history[found] = c.item[r, k % RING]
            found += 1

"""States -> what a ranking is asked: behaviours, the distinct recent items, what must not be listed, the moment. Pure.

The worker and `penchant evaluate` both go through here, so what is evaluated is what serves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.compiled import compiled
from models.items.co_occurrence import moment_bins
from models.items.index import ItemIndex
from models.ranking.features import Question
from models.ranking.recent import RecentItems, recent_items
from models.sequence.history import FirstEngagements
from models.vocabulary import QUERY
from stream.state.record import ACTION_MASK, CONTEXT_SHIFT, EXPOSURES, FIRST_BIT, RING, StateColumns, States
from stream.state.update import UpdateParams, gain_of

NEVER_MS = np.iinfo(np.int64).min


class Behaviours(NamedTuple):
    """Behaviours in the rings of u users, (u, R) each, first come first, as they are given to the ranking."""

    item: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    action: NDArray[np.uint8]
    gain: NDArray[np.float64]
    """0 where a place is empty; queries have 0 until somebody knows what they are near to."""


def behaviours_of(states: States, rows: NDArray[np.int64], params: UpdateParams) -> Behaviours:
    """Behaviours of `rows` (u,)."""
    slots, lengths = states.by_arrival(rows)
    at = (rows[:, None], slots)
    used = np.arange(RING) < lengths[:, None]
    action = states.kind[at] & ACTION_MASK
    item = np.where(used, states.item[at], np.uint64(0))
    gain = np.where(used & (action != QUERY), gain_of(action, states.dwell[at], params), 0.0)
    return Behaviours(item, states.time_ms[at], action, gain)


def ranking_question(
    states: States,
    rows: NDArray[np.int64],
    behaviours: Behaviours,
    window: int,
    index: ItemIndex,
    excluded: NDArray[np.int32],
    now_ms: NDArray[np.int64],
) -> tuple[RecentItems, Question]:
    """The recent items of `rows` (u,) and the question for the ranking at `now_ms` (u,), in event time.

    The context is the newest behaviour's: where somebody was a moment ago is where they are. Of somebody without any it is that
    of the newest impression.
    """
    recent = recent_items(behaviours.item, behaviours.time_ms, behaviours.gain, window)
    context = _context_of_newest(states.columns, rows)
    idle_s = np.maximum(now_ms - states.last_ms[rows], 0) / 1000.0
    bins = moment_bins(now_ms, context)
    ages_s = _ages_s(behaviours, recent)
    return recent, Question(index.lookup(recent.items), recent.gains, excluded, now_ms, idle_s, bins, ages_s)


@compiled
def _context_of_newest(c: StateColumns, rows: I8) -> NDArray[np.uint8]:
    """(u,): of the behaviour with the newest event time (of equals the one that came last); of a user without any, of the
    impression that came last; 0 where there is none."""
    contexts = np.zeros(len(rows), np.uint8)
    for u in range(len(rows)):
        r, newest_ms = rows[u], np.int64(NEVER_MS)
        n = c.n_ring[r]
        for k in range(max(np.int64(0), n - RING), n):
            if c.time_ms[r, k % RING] >= newest_ms:
                newest_ms, contexts[u] = c.time_ms[r, k % RING], c.kind[r, k % RING] >> CONTEXT_SHIFT
        if n == 0 and c.n_exposures[r] > 0:
            contexts[u] = c.exposed_context[r, (c.n_exposures[r] - 1) % EXPOSURES]
    return contexts


def first_engagements(states: States, rows: NDArray[np.int64], length: int) -> FirstEngagements:
    """The newest `length` first engagements of `rows` (u,)."""
    slots, used = states.by_arrival(rows)
    at = (rows[:, None], slots)
    place = np.arange(RING)
    is_first = (place < used[:, None]) & ((states.kind[at] & FIRST_BIT) != 0)
    counts = is_first.sum(axis=1)
    newest = np.minimum(counts, length)
    # Those that count to the left in their order; of more than `length` the oldest fall off.
    rank = np.cumsum(is_first, axis=1) - 1 - (counts - newest)[:, None]
    user, column = np.nonzero(is_first & (rank >= 0))
    items, times_ms = np.zeros((len(rows), length), np.uint64), np.zeros((len(rows), length), np.int64)
    to = rank[user, column]
    items[user, to], times_ms[user, to] = states.item[at][user, column], states.time_ms[at][user, column]
    # Events may come late: the model asks for times that do not go back.
    times_ms = np.maximum.accumulate(times_ms, axis=1)
    return FirstEngagements(items, times_ms, newest)


def _ages_s(behaviours: Behaviours, recent: RecentItems) -> NDArray[np.float64]:
    """(u, H) float64: how much older each recent item's newest behaviour is than the user's newest one, s; 0 where empty."""
    ages = np.zeros(recent.items.shape)
    _fill_ages(behaviours.time_ms, recent.position, ages)
    return ages


@compiled
def _fill_ages(times_ms: I8, position: I8, ages: F8) -> None:
    newest = np.empty(ages.shape[1], np.int64)
    for u in range(len(ages)):
        newest[:] = NEVER_MS
        latest = np.int64(0)
        for b in range(position.shape[1]):
            place = position[u, b]
            if place >= 0:
                newest[place] = max(newest[place], times_ms[u, b])
                latest = max(latest, times_ms[u, b])
        for place in range(ages.shape[1]):
            if newest[place] != NEVER_MS:
                ages[u, place] = (latest - newest[place]) / 1000.0

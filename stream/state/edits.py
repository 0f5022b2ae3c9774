"""One person's state as if: behaviours struck out, clicks added, as of a moment. Pure, on row 0 of `States`.

Struck out means as if it had never been: of the same item the next behaviour is then the first one. What is older than the ring
(points, histogram, what was bought) is no longer known one by one, and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.vocabulary import ACTIONS, CLICK, QUERY
from stream.state.record import ACTION_MASK, CONTEXT_SHIFT, EXPOSURES, FIRST_BIT, RING, States, dwell_ms_of
from stream.state.update import EventColumns, UpdateParams, apply_events

_RING_COLUMNS = ("item", "time_ms", "kind", "dwell", "event_id")
_EXPOSURE_COLUMNS = ("exposed_item", "exposed_s", "exposed_slot", "exposed_strategy", "exposed_context")


class Remembered(NamedTuple):
    """One behaviour of the ring."""

    key: str
    """Names it, as long as it is remembered."""
    item: int
    """Hash of the item or query."""
    time_ms: int
    action: int
    context: int
    dwell_ms: float
    is_first: bool


def remembered(states: States) -> list[Remembered]:
    """The behaviours of row 0, first come first."""
    slots, lengths = states.by_arrival(np.zeros(1, np.int64))
    found: list[Remembered] = []
    seen: dict[str, int] = {}
    for slot in slots[0, : lengths[0]].tolist():
        kind, item = int(states.kind[0, slot]), int(states.item[0, slot])
        action, time_ms = kind & int(ACTION_MASK), int(states.time_ms[0, slot])
        key = f"{time_ms}.{ACTIONS[action]}.{item:016x}"
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            key = f"{key}.{seen[key]}"
        dwell_ms = float(dwell_ms_of(states.dwell[:1, slot])[0])
        found.append(
            Remembered(key, item, time_ms, action, kind >> int(CONTEXT_SHIFT), dwell_ms, bool(kind & int(FIRST_BIT)))
        )
    return found


def strike(states: States, struck: Collection[str], params: UpdateParams) -> None:
    """Without the behaviours of these keys."""
    behaviours = remembered(states)
    kept = np.array([each.key not in struck for each in behaviours], np.bool_)
    if not kept.all():
        _keep(states, kept, params)


def as_of(states: States, moment_ms: int, params: UpdateParams) -> None:
    """Without what happened after this moment, impressions included."""
    behaviours = remembered(states)
    _keep_exposures(states, moment_ms)
    _keep(states, np.array([each.time_ms <= moment_ms for each in behaviours], np.bool_), params, moment_ms)


def click(states: States, items: NDArray[np.uint64], time_ms: int, params: UpdateParams) -> None:
    """With a click on each of these items, after everything else."""
    n, fence = len(items), max(-1, int(states.fence[0]))
    zeros = np.zeros(n, np.uint8)
    apply_events(
        states,
        EventColumns(
            np.zeros(n, np.int64),
            np.arange(fence + 1, fence + 1 + n),
            np.full(n, time_ms, np.int64),
            items,
            np.full(n, CLICK, np.uint8),
            zeros,
            zeros,
            zeros.astype(np.uint32),
            zeros,
        ),
        params,
    )


def newest_ms(states: States) -> int:
    """Event time of the newest thing that is known of row 0; 0: of nobody."""
    lengths = int(min(states.n_ring[0], RING))
    return int(states.time_ms[0, :lengths].max(initial=0))


def _keep(states: States, kept: NDArray[np.bool_], params: UpdateParams, until_ms: int | None = None) -> None:
    last_ms, of_behaviours_ms = int(states.last_ms[0]), newest_ms(states)
    slots, lengths = states.by_arrival(np.zeros(1, np.int64))
    at = slots[0, : lengths[0]]
    _become_first(states, at, kept, params.strengths > 0)
    for name in _RING_COLUMNS:
        column = getattr(states, name)
        values = column[0, at[kept]].copy()
        column[0] = 0
        column[0, : len(values)] = values
    n = int(kept.sum())
    states.events[0] -= np.uint32(min(int(states.events[0]), len(kept) - n))
    states.n_ring[0] = n
    shown = int(min(states.n_exposures[0], EXPOSURES))
    last_shown_ms = int(states.exposed_s[0, :shown].max(initial=0)) * 1000
    states.last_ms[0] = max(int(states.time_ms[0, :n].max(initial=0)), last_shown_ms)
    if last_ms > of_behaviours_ms and (until_ms is None or last_ms <= until_ms):
        states.last_ms[0] = (
            last_ms  # an impression or a refund was the last: exposures have seconds, refunds are not there
        )


def _become_first(states: States, at: NDArray[np.int64], kept: NDArray[np.bool_], liked: NDArray[np.bool_]) -> None:
    """Of an item whose first engagement is struck out the next one is the first."""
    for i in np.flatnonzero(~kept).tolist():
        if not states.kind[0, at[i]] & FIRST_BIT:
            continue
        item = states.item[0, at[i]]
        for k in range(i + 1, len(at)):
            action = int(states.kind[0, at[k]] & ACTION_MASK)
            if kept[k] and states.item[0, at[k]] == item and action != QUERY and liked[action]:
                states.kind[0, at[k]] |= FIRST_BIT
                break


def _keep_exposures(states: States, moment_ms: int) -> None:
    total = int(states.n_exposures[0])
    shown = min(total, EXPOSURES)
    at = np.array([k % EXPOSURES for k in range(total - shown, total)], np.int64)
    kept = at[states.exposed_s[0, at].astype(np.int64) * 1000 <= moment_ms] if shown else at
    for name in _EXPOSURE_COLUMNS:
        column = getattr(states, name)
        values = column[0, kept].copy()
        column[0] = 0
        column[0, : len(values)] = values
    states.n_exposures[0] = len(kept)


def named(behaviours: Sequence[Remembered], names: Sequence[str], hashes: Sequence[int]) -> tuple[set[str], list[str]]:
    """Keys of the behaviours that `names` mean, by key or by item (`hashes` of the same names as item ids); and the names that
    mean none."""
    struck: set[str] = set()
    unknown = []
    for name, hashed in zip(names, hashes, strict=True):
        meant = {each.key for each in behaviours if each.key == name or each.item == hashed}
        struck |= meant
        if not meant:
            unknown.append(name)
    return struck, unknown

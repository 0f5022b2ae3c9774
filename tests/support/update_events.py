"""Random events, applied in chunks and by the sequential reference."""

from __future__ import annotations

import numpy as np
from sequential_reference import Event, Reference

from models.vocabulary import ACTIONS
from stream.state.update import EventColumns, UpdateParams, apply_events

NOW_MS = 1_767_225_600_000


DAY_MS = 86_400_000


STRENGTHS = dict(zip(ACTIONS, (0.2, 1.0, 2.0, -2.0, 2.0, 4.0, 0.0, 0.7, 0.0), strict=True))


WINDOW = 5


PARAMS = UpdateParams(np.array(list(STRENGTHS.values())), 30_000.0, WINDOW)


def random_events(seed, n, users, items, ids=0, span_days=400):
    """n events in offset order; most in the order of their time, some late; `ids` different event ids (0 = none)."""
    rng = np.random.default_rng(seed)
    # Few distinct upper 16 bits, so that purchases share fingerprints now and then.
    names = rng.integers(1, 2**64, items, np.uint64, endpoint=False) & np.uint64(0x803F_FFFF_FFFF_FFFF)
    times = np.sort(rng.integers(0, span_days * DAY_MS, n)) - rng.integers(0, 90 * DAY_MS, n) * (rng.random(n) < 0.2)
    offset, events = 0, []
    for i in range(n):
        offset += int(rng.integers(1, 4))  # gaps are normal
        heavy = rng.random() < 0.6
        events.append(
            Event(
                user=0 if heavy else int(rng.integers(users)),
                offset=offset,
                time_ms=NOW_MS + int(times[i]),
                item=int(names[rng.integers(items)]),
                action=ACTIONS[rng.choice(9, p=(0.2, 0.15, 0.1, 0.1, 0.05, 0.2, 0.1, 0.05, 0.05))],
                context=int(rng.integers(8)),
                dwell=int(rng.integers(256)) if rng.random() < 0.5 else 0,
                event_id=int(rng.integers(ids + 1)),
                slot=int(rng.integers(256)),
            )
        )
    return events


def columns_of(events):
    by_name = {name: [getattr(event, name) for event in events] for name in Event._fields}
    return EventColumns(
        row=np.array(by_name["user"], np.int64),
        offset=np.array(by_name["offset"], np.int64),
        time_ms=np.array(by_name["time_ms"], np.int64),
        item=np.array(by_name["item"], np.uint64),
        action=np.array([ACTIONS.index(action) for action in by_name["action"]], np.uint8),
        context=np.array(by_name["context"], np.uint8),
        dwell=np.array(by_name["dwell"], np.uint8),
        event_id=np.array(by_name["event_id"], np.uint32),
        slot=np.array(by_name["slot"], np.uint8),
    )


def apply_in_chunks(states, events, sizes):
    """The changes of each chunk; `sizes` are used in turn until nothing is left."""
    changes, start, turn = [], 0, 0
    while start < len(events):
        size = sizes[turn % len(sizes)]
        changes.append(apply_events(states, columns_of(events[start : start + size]), PARAMS))
        start, turn = start + size, turn + 1
    return changes


def reference_of(events):
    reference = Reference(STRENGTHS, 30_000.0, WINDOW)
    for event in events:
        reference.apply(event)
    return reference

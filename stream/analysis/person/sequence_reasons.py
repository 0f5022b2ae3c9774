"""What the sequence model looked at, by leaving each event out: for `penchant explain`, and for a lane of low priority.

*These numbers do not add up to the part `sequence`, and must never be shown as if they did*: what they leave over is named
beside them. Published contributions do not contain them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.index import ItemIndex
from models.sequence.leave_one_out import BASE_ROWS, LeftOut, leave_one_out
from models.sequence.model import SequenceModel
from stream.refresh.question import first_engagements
from stream.state.record import States

METHOD: Final = "leave_one_out"

MAX_ROWS: Final = 72
"""Variants of histories in one batch of the model: one user with a full history, some 50 ms of a core."""


class LookedAt(NamedTuple):
    """One event and what leaving it out changes."""

    item: int
    """Hash."""
    time_ms: int
    difference: float
    """Expectation with all events minus without this one, times the weight of the part: in units of the score."""


class SequenceReason(NamedTuple):
    """Of one listed item, in units of the score. `expectation = of_nobody + sum of differences + residual`."""

    item: int
    """Dense index."""
    expectation: float
    """The part `sequence`."""
    of_nobody: float
    """What it would be with an empty history."""
    events: tuple[LookedAt, ...]
    """The largest difference first, whatever its sign; of equal ones the older. Those that change nothing are left out."""
    residual: float
    """What leaving events out one by one does not tell apart."""


def sequence_reasons(
    model: SequenceModel,
    states: States,
    rows: NDArray[np.int64],
    listed: NDArray[np.int32],
    now_ms: NDArray[np.int64],
    weight: NDArray[np.float64],
    index: ItemIndex,
    max_rows: int = MAX_ROWS,
) -> Iterator[list[list[SequenceReason]]]:
    """Reasons of users in their order, some users at a time: between two of them whoever asks may do something else.

    Args:
        model: the one that serves.
        states: of the users' partition; they are read when a batch is asked for.
        rows: (u,) of the users.
        listed: (u, k) int32 dense indices of their lists, -1 pads.
        now_ms: (u,) int64: when the lists were made, in event time.
        weight: (u,) float64: of the feature `sequence` for each user.
        index: of the ranking.
        max_rows: variants in one batch of the model; a single history may have more.

    Yields:
        for each user of a batch the reasons of the listed items that the model expects, in the list's order.
    """
    start = 0
    while start < len(rows):
        history = first_engagements(states, rows[start:], model.length)
        ends = np.cumsum(history.lengths + BASE_ROWS)
        some = max(1, int(np.searchsorted(ends, max_rows, side="right")))
        part = slice(start, start + some)
        items, times_ms, lengths = history
        found = leave_one_out(model, items[:some], times_ms[:some], lengths[:some], now_ms[part], index, listed[part])
        yield [
            _reasons(each, own, float(factor))
            for each, own, factor in zip(found, listed[part], weight[part], strict=True)
        ]
        start += some


def to_json(reason: SequenceReason, name_of: Any) -> dict[str, Any]:
    """Of one item, for people and programs; `name_of` gives the id of an item's hash."""
    return {
        "method": METHOD,
        "is_additive": False,
        "expectation": reason.expectation,
        "of_nobody": reason.of_nobody,
        "events": [
            {"item_id": name_of(each.item), "event_time": each.time_ms, "difference": each.difference}
            for each in reason.events
        ],
        "residual": reason.residual,
    }


def _reasons(found: LeftOut, listed: NDArray[np.int32], weight: float) -> list[SequenceReason]:
    reasons = []
    for place in np.flatnonzero((listed >= 0) & (found.whole > 0.0)).tolist():
        differences = weight * found.differences[:, place]
        order = np.argsort(-np.abs(differences), kind="stable")
        events = zip(
            found.items[order].tolist(), found.times_ms[order].tolist(), differences[order].tolist(), strict=True
        )
        reasons.append(
            SequenceReason(
                int(listed[place]),
                weight * float(found.whole[place]),
                weight * float(found.nothing[place]),
                tuple(LookedAt(*each) for each in events if each[2] != 0.0),
                weight * float(found.residual[place]),
            )
        )
    return reasons

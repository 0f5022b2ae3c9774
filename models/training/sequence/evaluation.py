"""How well a model says what comes next: the rank of the next item among all known ones. Pure.

As in the prequential evaluation: ranked are all items that anybody has had by then, less those that the user has had, and half
of those with an equal score count as above. A target that nobody has had yet cannot be ranked: it counts as not found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I8
from models.training.sequence.histories import Batch, Histories, before

AT: Final = 10
_BLOCK: Final = 256
SESSION_GAP_MS: Final = 30 * 60_000


class ItemScores(NamedTuple):
    """What is ranked: the score of an item is `query @ vector + bias`."""

    vectors: F4
    """(n, d)"""
    biases: F4
    """(n,)"""


class Metrics(NamedTuple):
    """Means over `questions`."""

    ndcg: float
    hr: float
    hr20: float
    mrr: float
    questions: int


Queries = Callable[[Batch], F4]
"""(b, d) query vectors of histories."""


def first_seen(events: Histories, n_items: int) -> I8:
    """(n_items,) when anybody had each item first; int64's largest where nobody has."""
    seen = np.full(n_items, np.iinfo(np.int64).max)
    np.minimum.at(seen, events.item, events.time_ms)
    return seen


def questions(events: Histories, start_ms: int, end_ms: int | None, most: int | None, seed: int) -> I8:
    """Rows of the events in [start, end): what came next? A sample of `most` of them, the same for every model."""
    inside = events.time_ms >= start_ms
    if end_ms is not None:
        inside &= events.time_ms < end_ms
    rows = np.flatnonzero(inside)
    if most is not None and rows.size > most:
        rows = np.sort(np.random.default_rng([seed, 7]).choice(rows, most, replace=False))
    return rows


def ranks(events: Histories, rows: I8, seen_ms: I8, queries: Queries, items: ItemScores, length: int) -> F8:
    """(q,) rank of what came next, from 1; infinite where it could not be ranked.

    Args:
        events: everybody's, for what the user has had.
        rows: (q,) the events asked about.
        seen_ms: (n,) from `first_seen`; an item is ranked once that has passed.
        queries: the model.
        items: n of them.
        length: of a history.
    """
    found = np.empty(rows.size, np.float64)
    order = np.argsort(np.minimum(rows - events.start[rows], length), kind="stable")  # like lengths: little padding
    for at in range(0, rows.size, _BLOCK):
        block = order[at : at + _BLOCK]
        some = rows[block]
        scores = queries(before(events, some, length)) @ items.vectors.T + items.biases
        target = events.item[some]
        n = np.arange(some.size)
        own = scores[n, target].copy()
        scores[seen_ms[None, :] >= events.time_ms[some][:, None]] = -np.inf
        was_ranked = np.isfinite(scores[n, target])
        user, had = _had(events, some)
        scores[user, had] = -np.inf
        scores[n, target] = -np.inf
        above = (scores > own[:, None]).sum(axis=1) + 0.5 * (scores == own[:, None]).sum(axis=1)
        found[block] = np.where(was_ranked, 1 + above, np.inf)
    return found


def metrics(found: F8) -> Metrics:
    """The means; all 0 for no question."""
    if not found.size:
        return Metrics(0.0, 0.0, 0.0, 0.0, 0)
    return Metrics(
        ndcg=float(gains(found).mean()),
        hr=float((found <= AT).mean()),
        hr20=float((found <= 2 * AT).mean()),
        mrr=float((1 / found).mean()),
        questions=found.size,
    )


def gains(found: F8) -> F8:
    """NDCG at `AT` of each question: 1 / log2(1 + rank) among the first, else 0."""
    return np.where(found <= AT, 1 / np.log2(1 + np.minimum(found, AT)), 0.0)


def slices(events: Histories, rows: I8, trained: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """(q,) bool by name: questions that are harder or matter more. `trained`: (n,) items with a learned part."""
    had = rows - events.start[rows]
    gap_ms = events.time_ms[rows] - events.time_ms[np.maximum(rows - 1, 0)]
    return {
        "newcomers": had == 0,
        "short_histories": had < 5,
        "session_starts": (had > 0) & (gap_ms >= SESSION_GAP_MS),
        "untrained_items": ~trained[events.item[rows]],
    }


def _had(events: Histories, rows: I8) -> tuple[I8, NDArray[np.int32]]:
    """`(question, item)` of everything that the users had before."""
    counts = rows - events.start[rows]
    question = np.repeat(np.arange(rows.size), counts)
    ends = np.cumsum(counts)
    at = np.arange(question.size) - np.repeat(ends - counts, counts) + np.repeat(events.start[rows], counts)
    return question, events.item[at]

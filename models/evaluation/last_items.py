"""The published protocol for sequence models: each user's last item is asked for, the one before it is for validation. Pure.

Kang and McAuley (SASRec, ICDM 2018) and most papers on next items since; here with full ranking, because sampled candidates can
order models wrongly (Krichene and Rendle, KDD 2020). Not to be taken for leave-one-out *attribution*
(`models.sequence.leave_one_out`), which leaves an event out of a history.

The last items of some were had before the training events of others: there is no "now", so the figures stand beside published
ones and say nothing about serving. `models.evaluation.protocol` does.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.evaluation.contract import Contender, Known, Stream
from models.evaluation.history import UserPrefix

Ties = Literal["file", "item-id"]
"""In which order a user's events of one time stand: as in the file, or by item id (numbers by their value)."""

FEWEST: Final = 3
"""Items of a user who is asked about: one to learn from, one for validation, one to ask for."""

CUTOFFS: Final = (10, 20)


class LastItems(NamedTuple):
    """First engagements only: those to learn from by time, then those before the last ones, then the last ones.

    A contender warms up on `[0, test_at)` and is asked about every event from there on; it learns none of them.
    """

    stream: Stream
    known: Known
    """Only the items of `stream`, numbered by first appearance in it."""
    validation_at: int
    test_at: int


def last_items(stream: Stream, known: Known, ties: Ties) -> LastItems | None:
    """The events cut in three; None if no user has had `FEWEST` items. All events of users with fewer are learned from."""
    at = np.flatnonzero(stream.first)
    user, item, time_ms = stream.user[at], stream.item[at], stream.time_ms[at]
    tie = at if ties == "file" else _places_of_ids(known.item_ids)[item]
    by_user = np.lexsort((tie, time_ms, user))
    counts = np.bincount(user, minlength=known.n_users)
    ends = np.cumsum(counts)
    from_end = np.empty(at.size, np.int64)
    from_end[by_user] = ends[user[by_user]] - np.arange(at.size)
    asked = counts[user] >= FEWEST
    part = np.where(asked & (from_end <= 2), 3 - from_end, 0)  # 0 to learn from, 1 validation, 2 the last
    if not asked.any():
        return None
    order = np.lexsort((tie, time_ms, part))
    cut = Stream._make(column[at[order]] for column in stream)
    numbers, kept = _renumbered(cut.item, known.n_items)
    sizes = np.bincount(part, minlength=3)
    return LastItems(cut._replace(item=numbers[cut.item]), _only(known, kept), int(sizes[0]), int(sizes[0] + sizes[1]))


def ranks(contender: Contender, cut: LastItems) -> F8:
    """(q,) ranks, from 1, of the last items among all items less those that the user had before; half of all ties count above.

    Args:
        contender: has warmed up on `[0, cut.test_at)`.
        cut: what it is asked about.

    Raises:
        ValueError: a score is NaN, or there is not one for each item.
    """
    stream, past = cut.stream, UserPrefix(cut.stream, cut.known, cut.test_at)
    found = np.empty(stream.n_events - cut.test_at)
    for place, at in enumerate(range(cut.test_at, stream.n_events)):
        scores = contender.ask(at).scores
        user, target = int(stream.user[at]), stream.item[at]
        if scores.shape != (cut.known.n_items,):
            raise ValueError(f"{scores.shape} scores for {cut.known.n_items} items")
        others = np.ones(scores.size, np.bool_)
        others[past.newest(user, scores.size)] = False
        others[target] = False
        if np.isnan(scores).any():
            raise ValueError("a score is NaN")
        own, other = scores[target], scores[others]
        found[place] = 1.0 + (other > own).sum() + 0.5 * (other == own).sum()
    return found


def per_question(rank: F8) -> dict[str, F8]:
    """Every figure that is a mean over questions, `(q,)` each."""
    found: dict[str, F8] = {}
    for k in CUTOFFS:
        found[f"hr@{k}"] = (rank <= k).astype(np.float64)
    for k in CUTOFFS:
        found[f"ndcg@{k}"] = np.where(rank <= k, 1.0 / np.log2(1.0 + rank), 0.0)
    return found | {"mrr": 1.0 / rank}


def _places_of_ids(ids: list[str]) -> I8:
    """(n,) The place of each id among all: by value if all are numbers, else by letters."""
    numeric = all(each.isascii() and each.isdigit() for each in ids)
    order = sorted(range(len(ids)), key=lambda n: (int(ids[n]), ids[n]) if numeric else (0, ids[n]))
    places = np.empty(len(ids), np.int64)
    places[order] = np.arange(len(ids))
    return places


def _renumbered(items: NDArray[np.int32], n_items: int) -> tuple[NDArray[np.int32], I8]:
    """`(new number of each item, which items are left in their new order)`."""
    kept, first_at = np.unique(items, return_index=True)
    kept = kept[np.argsort(first_at)]
    numbers = np.full(n_items, -1, np.int32)
    numbers[kept] = np.arange(kept.size, dtype=np.int32)
    return numbers, kept.astype(np.int64)


def _only(known: Known, kept: I8) -> Known:
    places = kept.tolist()
    return known._replace(
        item_ids=[known.item_ids[n] for n in places],
        catalogue=[known.catalogue[n] for n in places],
        listed_from_ms=known.listed_from_ms[kept],
        text_vectors=None if known.text_vectors is None else known.text_vectors[kept],
    )

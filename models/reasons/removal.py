"""A person's past without some of its items, as it would have been had they never been met.

An item that is taken out leaves no gap: older ones move up, ages are counted from what is then the newest, and how long the
person has been idle is counted from there too. What the person is not to be shown stays as it is, or the item taken out would
itself be recommended. Statistics of items are everybody's and stay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.index import NO_INDEX
from models.ranking.features import Question
from models.ranking.place_vectors import NO_VECTOR, PastTexts


class Past(NamedTuple):
    """What a ranking reads of u users, with H places of history each."""

    question: Question
    texts: PastTexts | None
    """None where there is no encoder."""


def used_places(past: Past) -> NDArray[np.int64]:
    """Places of the first user that say anything, newest first."""
    used = past.question.gains[0] != 0.0
    if past.texts is None:
        used &= past.question.history[0] >= 0
    return np.flatnonzero(used)


def without(past: Past, removed: NDArray[np.bool_]) -> Past:
    """The first user of `past` once for each row of `removed` (n, H) bool, without the places that are True in it."""
    n, places = removed.shape
    question = past.question
    # A place whose gains cancel stays where it is: in serving, too, older ones count as those behind it.
    order = np.argsort(removed, axis=1, kind="stable")
    kept = ~np.take_along_axis(removed, order, axis=1)
    history = np.where(kept, question.history[0][order], np.int32(NO_INDEX)).astype(np.int32)
    ages = question.ages_s[0][order]
    # Of nobody's past nothing is the newest: then the ages do not matter.
    used = kept & ((question.gains[0] != 0.0) | (question.history[0] >= 0))[order]
    newest = np.min(np.where(used, ages, np.inf), axis=1, initial=np.inf)
    since = np.where(np.isfinite(newest), newest, 0.0)
    repeated = Question(
        history,
        np.where(kept, question.gains[0][order], 0.0),
        np.broadcast_to(question.excluded[0], (n, question.excluded.shape[1])).copy(),
        np.repeat(question.now_ms[:1], n),
        question.idle_s[0] + since,
        np.broadcast_to(question.bins[0], (n, question.bins.shape[1])).copy(),
        np.where(used, ages - since[:, None], 0.0).reshape(n, places),
    )
    texts = None
    if past.texts is not None:
        texts = past.texts._replace(row=np.where(used, past.texts.row[0][order], NO_VECTOR))
    return Past(repeated, texts)


def rows_without(places: int, sets: list[tuple[int, ...]]) -> NDArray[np.bool_]:
    """(n, H) bool for `without`: a row per set of places."""
    removed = np.zeros((len(sets), places), np.bool_)
    for row, chosen in enumerate(sets):
        removed[row, list(chosen)] = True
    return removed

"""How much of the catalogue anybody gets to see, and what more of it would cost. Pure.

More of it: popularity is taken off scores before lists are made. Steck, "Item popularity and recommendation accuracy"
(RecSys 2011), on what such a trade is; Abdollahpouri, Burke and Mobasher, "Managing popularity bias in recommender systems with
personalized re-ranking" (FLAIRS 2019), on doing it after the ranking.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import Answer, Known, Stream
from models.evaluation.questions import Questions

WEEK_MS: Final = 7 * 24 * 3_600_000


class Weeks(NamedTuple):
    """The full weeks from the first question on; if there is none, the beginning of one."""

    of_question: NDArray[np.int64]
    """(q,) Number of the week; those from `items.size` on are in none of them."""
    items: NDArray[np.int64]
    """(w,) Items known at the end of each: seen in an event before it, or in the catalogue by then."""


def weeks(asked: Questions, stream: Stream, known: Known) -> Weeks:
    """Of q > 0 questions."""
    start = int(asked.time_ms[0])
    n = max(1, (int(asked.time_ms[-1]) - start) // WEEK_MS)
    known_from_ms = known.listed_from_ms.copy()
    item, first = np.unique(stream.item, return_index=True)
    seen = item >= 0
    known_from_ms[item[seen]] = np.minimum(known_from_ms[item[seen]], stream.time_ms[first[seen]])
    ends = start + WEEK_MS * np.arange(1, n + 1)
    return Weeks((asked.time_ms - start) // WEEK_MS, np.searchsorted(np.sort(known_from_ms), ends))


def weekly_coverage(listed: NDArray[np.int32], weeks_: Weeks, k: int) -> float:
    """Mean over the weeks: share of the items known at its end that stood among the first k of a list of that week.

    A week in which nobody was asked showed nothing, so it counts as 0.

    Args:
        listed: (q, >= k), padded with -1.
        weeks_: of the same questions.
        k: places that count.
    """
    n = weeks_.items.size
    shown, week = listed[:, :k], np.broadcast_to(weeks_.of_question[:, None], (len(listed), k))
    real = (shown >= 0) & (week < n)
    pairs = np.unique(week[real] << 32 | shown[real])
    return float((np.bincount(pairs >> 32, minlength=n) / weeks_.items).mean())


def without_popularity(answer: Answer, amount: float, engaged: NDArray[np.int64]) -> Answer:
    """The answer with `amount` * log(1 + users who had the item) taken off each score, and its lists by that.

    Args:
        answer: stays as it is.
        amount: 0 changes nothing; scores in log-odds, so of 0.1 an item with ten times as many users is worth 0.23 less.
        engaged: (n_items,) users who had each item before the question.
    """
    return Answer(answer.scores - amount * np.log1p(engaged)) if amount else answer

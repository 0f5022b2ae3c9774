"""`user_cf`: user-based collaborative filtering, cosine of binary histories (Breese, Heckerman and Kadie 1998), incremental."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.compiled import compiled
from models.evaluation.baselines.chosen import Chosen
from models.evaluation.contract import Answer, Known, Setup, Stream
from models.evaluation.history import UserPrefix

NAME: Final = "user_cf"
NEIGHBOURS: Final = (100, 30, 300)
HISTORIES: Final = (20, 50, 8)
AUDIENCE: Final = 1000
"""Of an item's users the newest so many are looked at: that bounds an answer."""
OFFERED: Final = 100
"""A neighbour brings its newest so many items."""


class Hood(NamedTuple):
    """How near users are found."""

    neighbours: int
    history: int
    """The user's newest so many items are what others are compared by."""


def user_cf(setup: Setup) -> Chosen[Hood]:
    """The contender."""
    del setup
    options = {
        f"{neighbours} neighbours, last {history}": Hood(neighbours, history)
        for neighbours in NEIGHBOURS
        for history in HISTORIES
    }
    return Chosen(NAME, UserNeighbours, options)


class UserNeighbours:
    """The score of an item is the sum of the similarities of the neighbours who have it. Without history: popularity."""

    name = NAME

    def __init__(self, hood: Hood) -> None:
        self._hood = hood

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        self._stream = stream
        self._past = UserPrefix(stream, known, end)
        self._overlap = np.zeros(known.n_users, np.int64)

    def ask(self, at: int) -> Answer:
        past, user = self._past, int(self._stream.user[at])
        newest = past.newest(user, self._hood.history)
        if not newest.size:
            return Answer(past.count.astype(np.float64))
        scores = _score(
            *past.by_user, past.length, *past.by_item, past.count, user, newest, self._hood.neighbours, self._overlap
        )
        return Answer(scores)

    def learn(self, at: int) -> None:
        self._past.learn(at)


@compiled
def _score(
    user_starts: I8,
    user_items: I4,
    length: I8,
    item_starts: I8,
    item_users: I4,
    count: I8,
    user: int,
    newest: I4,
    neighbours: int,
    overlap: I8,
) -> NDArray[np.float64]:
    """`overlap` is scratch space, all 0 before and after."""
    met = np.empty(len(newest) * AUDIENCE, np.int64)
    n = 0
    for item in newest:
        stop = item_starts[item] + count[item]
        for at in range(max(item_starts[item], stop - AUDIENCE), stop):
            other = item_users[at]
            if other != user:
                if overlap[other] == 0:
                    met[n] = other
                    n += 1
                overlap[other] += 1
    near = np.empty(n)
    for i in range(n):
        near[i] = overlap[met[i]] / np.sqrt(len(newest) * length[met[i]])
        overlap[met[i]] = 0
    scores = np.zeros(len(count))
    order = np.argsort(-near, kind="mergesort")
    for i in order[:neighbours]:
        stop = user_starts[met[i]] + length[met[i]]
        for at in range(max(user_starts[met[i]], stop - OFFERED), stop):
            scores[user_items[at]] += near[i]
    return scores

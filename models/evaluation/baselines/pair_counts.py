"""Item-to-item statistics that grow with the stream, and how a history is scored with them. Used by three baselines.

With h_1 (newest), h_2, .. what a user had and b the new item: C[h_q, b] += d^(q-1) and C[b, h_q] += d^(q-1), q up to W. The
score of j for a history is sum over q <= L of g^(q-1) C[h_q, j] N(h_q) N(j), N(x) = (n[x] + s)^(-1/2), n = users who had x.

C is a dense matrix up to `DENSE_ITEMS` items. Above, a row of it is read off the users' histories when it is asked for: C[h, j]
only depends on how far apart h and j stand in each. That needs no memory beyond the events but more time, which is bounded by
looking at the newest `AUDIENCE` users of an item only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I4, I8
from models.compiled import compiled
from models.evaluation.contract import Answer, Known, Stream
from models.evaluation.history import UserPrefix

DENSE_ITEMS: Final = 10_000
AUDIENCE: Final = 5000


class Recipe(NamedTuple):
    """What is written and how it is read."""

    write_decay: float
    """d."""
    write_window: int
    """W: the newest so many items of a history get a pair with the new one."""
    read_decay: float
    """g."""
    read_window: int
    """L: so many of the newest items are asked."""
    smoothing: float
    """s."""


class PairCounts:
    """A contender of one recipe. Users without history get the most popular items."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name, self._recipe = name, recipe

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        recipe = self._recipe
        self._stream = stream
        self._past = UserPrefix(stream, known, 0)
        self._decay = recipe.write_decay ** np.arange(recipe.write_window, dtype=np.float64)
        self._gain = recipe.read_decay ** np.arange(recipe.read_window, dtype=np.float64)
        self._dense = known.n_items <= DENSE_ITEMS
        self._pairs = np.zeros((known.n_items,) * 2 if self._dense else (0, 0), np.float32)
        firsts = np.flatnonzero(stream.first[:end])
        _learn(self._pairs, self._decay, *self._past.by_user, self._past.length, self._past.count,
               stream.user[firsts], stream.item[firsts], self._dense)  # fmt: skip

    def ask(self, at: int) -> Answer:
        past = self._past
        newest = past.newest(int(self._stream.user[at]), self._recipe.read_window)
        if not newest.size:
            return Answer(past.count.astype(np.float64))
        if self._dense:
            return Answer(_score(self._pairs, newest, self._gain, past.count, self._recipe.smoothing))
        scores = _score_from_histories(
            *past.by_user,
            past.length,
            *past.by_item,
            past.count,
            newest,
            self._gain,
            self._decay,
            self._recipe.smoothing,
        )
        return Answer(scores)

    def learn(self, at: int) -> None:
        if not self._stream.first[at]:
            return
        past, one = self._past, slice(at, at + 1)
        _learn(self._pairs, self._decay, *past.by_user, past.length, past.count,
               self._stream.user[one], self._stream.item[one], self._dense)  # fmt: skip


@compiled
def _learn(
    pairs: NDArray[np.float32],
    decay: F8,
    starts: I8,
    values: I4,
    length: I8,
    count: I8,
    users: I4,
    items: I4,
    dense: bool,
) -> None:
    """First engagements in order: pairs with the user's newest items, then the item joins the history."""
    for i in range(len(users)):
        user, item = users[i], items[i]
        last = starts[user] + length[user] - 1
        if dense:
            for q in range(min(length[user], len(decay))):
                other = values[last - q]
                pairs[other, item] += np.float32(decay[q])
                pairs[item, other] += np.float32(decay[q])
        length[user] += 1
        count[item] += 1


@compiled
def _score(pairs: NDArray[np.float32], newest: I4, gain: F8, count: I8, smoothing: float) -> F8:
    scores = np.zeros(len(count))
    for q in range(len(newest)):
        row = pairs[newest[q]]
        weight = gain[q] / np.sqrt(count[newest[q]] + smoothing)
        for j in range(len(scores)):
            scores[j] += weight * row[j]
    for j in range(len(scores)):
        if scores[j] != 0.0:
            scores[j] /= np.sqrt(count[j] + smoothing)
    return scores


@compiled
def _score_from_histories(
    user_starts: I8,
    user_items: I4,
    length: I8,
    item_starts: I8,
    item_users: I4,
    count: I8,
    newest: I4,
    gain: F8,
    decay: F8,
    smoothing: float,
) -> F8:
    scores = np.zeros(len(count))
    for q in range(len(newest)):
        item = newest[q]
        weight = gain[q] / np.sqrt(count[item] + smoothing)
        stop = item_starts[item] + count[item]
        for u in range(max(item_starts[item], stop - AUDIENCE), stop):
            user = item_users[u]
            begin, n = user_starts[user], length[user]
            at = 0
            while user_items[begin + at] != item:
                at += 1
            for other in range(max(0, at - len(decay)), min(n, at + len(decay) + 1)):
                if other != at:
                    scores[user_items[begin + other]] += weight * decay[abs(other - at) - 1]
    for j in range(len(scores)):
        if scores[j] != 0.0:
            scores[j] /= np.sqrt(count[j] + smoothing)
    return scores

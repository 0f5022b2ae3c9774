"""`ease`: Embarrassingly Shallow Autoencoders for Sparse Data (Steck, WWW 2019), fitted at the warm-up mark."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.evaluation.baselines.chosen import Chosen
from models.evaluation.contract import Answer, Known, Setup, Stream
from models.evaluation.history import UserPrefix

NAME: Final = "ease"
MAX_ITEMS: Final = 10_000
"""The weights are a dense matrix: of more items only the most popular take part."""


class Fit(NamedTuple):
    """Hyper-parameters."""

    penalty: float
    history: int
    """The newest so many items are what is reconstructed from."""


FITS: Final = (Fit(250, 20), Fit(100, 20), Fit(500, 20), Fit(1000, 20), Fit(250, 8), Fit(500, 8), Fit(250, 4))


def ease(setup: Setup) -> Chosen[Fit]:
    """The contender."""
    del setup
    return Chosen(NAME, ShallowAutoencoder, {f"penalty {fit.penalty:g}, last {fit.history}": fit for fit in FITS})


class ShallowAutoencoder:
    """Scores are sums of the weights B[h, j] over the newest items h. Without history: popularity.

    Items that came after the fit have no weights and stand below all others.
    """

    name = NAME

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        self._stream = stream
        self._past = UserPrefix(stream, known, end)
        count = self._past.count
        seen = np.flatnonzero(count)
        fitted = np.sort(seen[np.argsort(-count[seen], kind="stable")[:MAX_ITEMS]])
        self._place = np.full(known.n_items, -1, np.int64)
        self._place[fitted] = np.arange(fitted.size)
        self._fitted = fitted
        at = np.flatnonzero(stream.first[:end])
        column = self._place[stream.item[at]]
        self._weights = item_weights(stream.user[at][column >= 0], column[column >= 0], fitted.size, self._fit.penalty)

    def ask(self, at: int) -> Answer:
        newest = self._past.newest(int(self._stream.user[at]), self._fit.history)
        rows = self._place[newest]
        rows = rows[rows >= 0]
        if not rows.size:
            return Answer(self._past.count.astype(np.float64))
        scores = np.full(self._place.size, -np.inf)
        scores[self._fitted] = self._weights[rows].sum(axis=0)
        return Answer(scores)

    def learn(self, at: int) -> None:
        self._past.learn(at)


def item_weights(user: NDArray[np.int32], item: NDArray[np.int64], n_items: int, penalty: float) -> NDArray[np.float32]:
    """(n_items, n_items) float32 B of eq. 8: B_ij = -P_ij / P_jj, 0 on the diagonal, P = (X'X + penalty I)^-1.

    With fewer users than items P comes from the users' side: P = (I - X' (X X' + penalty I)^-1 X) / penalty (Woodbury).

    Args:
        user, item: (m,) the ones of the users-by-items matrix X, each once.
        n_items: columns of X.
        penalty: above 0.
    """
    users, row = np.unique(user, return_inverse=True)
    if users.size < n_items:
        ones = np.zeros((users.size, n_items), np.float32)
        ones[row, item] = 1.0
        gram = (ones @ ones.T).astype(np.float64)
        gram[np.diag_indices_from(gram)] += penalty
        inverse = np.eye(n_items, dtype=np.float32)
        inverse -= ones.T @ np.linalg.solve(gram, ones.astype(np.float64)).astype(np.float32)
    else:
        order = np.argsort(row, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=users.size))))
        together = _gram(starts, item[order], n_items)
        together[np.diag_indices_from(together)] += penalty
        inverse = np.linalg.inv(together).astype(np.float32)
    weights = inverse
    weights /= -np.diag(inverse).copy()
    weights[np.diag_indices_from(weights)] = 0.0
    return weights


@compiled
def _gram(starts: NDArray[np.int64], items: NDArray[np.int64], n_items: int) -> NDArray[np.float64]:
    """X'X from rows of items."""
    found = np.zeros((n_items, n_items))
    for row in range(len(starts) - 1):
        for a in range(starts[row], starts[row + 1]):
            for b in range(starts[row], starts[row + 1]):
                found[items[a], items[b]] += 1.0
    return found

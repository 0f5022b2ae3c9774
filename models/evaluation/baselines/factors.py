"""What `als` and `bpr` share: `implicit`'s matrix of the warm-up part, and scores by factors for users who go on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4
from models.evaluation.contract import Answer, Known, Stream, UnavailableError
from models.evaluation.history import UserPrefix


def user_items(stream: Stream, known: Known, end: int) -> Any:
    """(n_users, n_items) scipy CSR float32: 1 for every first engagement before `end`.

    Raises:
        UnavailableError: the extra evaluate is not installed.
    """
    if find_spec("implicit") is None:
        raise UnavailableError("needs implicit: pip install 'penchant[evaluate]'")
    from scipy.sparse import csr_matrix

    at = np.flatnonzero(stream.first[:end])
    ones = np.ones(at.size, np.float32)
    return csr_matrix((ones, (stream.user[at], stream.item[at])), shape=(known.n_users, known.n_items))


class FactorScores:
    """Items that came after the fit stand below all others. Without a fitted item in the history: popularity."""

    def __init__(self, stream: Stream, known: Known, end: int, factors: F4, history: int) -> None:
        """`factors`: (n_items, d) float32; of the history the newest `history` items count."""
        self._stream = stream
        self.past = UserPrefix(stream, known, end)
        self._factors = factors
        self._fitted = self.past.count > 0
        self._history = history

    def newest(self, at: int) -> NDArray[np.int32]:
        """Fitted items of the user of event `at`, newest first."""
        newest = self.past.newest(int(self._stream.user[at]), self._history)
        return newest[self._fitted[newest]]

    def answer(self, user_factor: F4 | None) -> Answer:
        """By a (d,) user factor; None: popularity."""
        if user_factor is None:
            return Answer(self.past.count.astype(np.float64))
        return Answer(np.where(self._fitted, self._factors @ user_factor, -np.inf).astype(np.float64))

"""`als`: matrix factorisation for implicit feedback (Hu, Koren and Volinsky, ICDM 2008), fitted at the mark by `implicit`."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.baselines.chosen import Chosen
from models.evaluation.baselines.factors import FactorScores, user_items
from models.evaluation.contract import Answer, Known, Setup, Stream

NAME: Final = "als"
ITERATIONS: Final = 15


class Fit(NamedTuple):
    """Hyper-parameters."""

    factors: int
    penalty: float
    alpha: float
    """Confidence of an engagement; that of its absence is 1."""
    history: int
    """The newest so many items make the user's factor."""


FITS: Final = (
    Fit(64, 10.0, 10.0, 20),
    Fit(64, 10.0, 10.0, 200),
    Fit(64, 10.0, 2.0, 20),
    Fit(64, 10.0, 2.0, 8),
    Fit(64, 1.0, 2.0, 20),
    Fit(64, 30.0, 10.0, 8),
    Fit(64, 10.0, 40.0, 20),
    Fit(128, 10.0, 2.0, 8),
)


def als(setup: Setup) -> Chosen[Fit]:
    """The contender."""
    options = {f"{f.factors} factors, penalty {f.penalty:g}, alpha {f.alpha:g}, last {f.history}": f for f in FITS}
    return Chosen(NAME, lambda fit: AlternatingLeastSquares(fit, setup.seed), options)


class AlternatingLeastSquares:
    """Items' factors stay as fitted; a user's is solved anew from the history at every question (`fold_in`)."""

    name = NAME

    def __init__(self, fit: Fit, seed: int) -> None:
        self._fit, self._seed = fit, seed

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        matrix = user_items(stream, known, end)
        from implicit.cpu.als import AlternatingLeastSquares as Model
        from threadpoolctl import threadpool_limits

        fit = self._fit
        with threadpool_limits(1, "blas"):  # implicit is slow, and warns, where BLAS has threads of its own
            model = Model(
                factors=fit.factors,
                regularization=fit.penalty,
                alpha=fit.alpha,
                iterations=ITERATIONS,
                num_threads=1,
                random_state=self._seed,
            )
            model.fit(matrix, show_progress=False)
        self._factors: NDArray[np.float32] = np.asarray(model.item_factors, np.float32)
        self._gram = self._factors.T @ self._factors + fit.penalty * np.eye(fit.factors, dtype=np.float32)
        self._scores = FactorScores(stream, known, end, self._factors, fit.history)

    def ask(self, at: int) -> Answer:
        newest = self._scores.newest(at)
        user = fold_in(self._factors[newest], self._gram, self._fit.alpha) if newest.size else None
        return self._scores.answer(user)

    def learn(self, at: int) -> None:
        self._scores.past.learn(at)


def fold_in(had: NDArray[np.float32], gram: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    """(d,) the user factor of eq. 4: (Y'Y + penalty I + (alpha - 1) Yu'Yu)^-1 alpha Yu'1.

    Args:
        had: (h, d) factors Yu of the user's items.
        gram: (d, d) Y'Y + penalty I.
        alpha: confidence of an engagement.
    """
    solved: NDArray[np.float32] = np.linalg.solve(gram + (alpha - 1) * (had.T @ had), alpha * had.sum(axis=0))
    return solved

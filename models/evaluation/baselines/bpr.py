"""`bpr`: matrix factorisation by Bayesian personalised ranking (Rendle et al., UAI 2009), fitted at the mark by `implicit`."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.baselines.chosen import Chosen
from models.evaluation.baselines.factors import FactorScores, user_items
from models.evaluation.contract import Answer, Known, Setup, Stream

NAME: Final = "bpr"


class Fit(NamedTuple):
    """Hyper-parameters."""

    factors: int
    penalty: float
    epochs: int
    history: int
    """The newest so many items make the user's factor."""


LEARNING_RATE: Final = 0.05
FITS: Final = (
    Fit(64, 0.01, 50, 20),
    Fit(64, 0.01, 50, 8),
    Fit(64, 0.01, 100, 8),
    Fit(64, 0.01, 200, 8),
    Fit(64, 0.003, 100, 8),
    Fit(128, 0.01, 100, 8),
    Fit(64, 0.01, 100, 4),
)


def bpr(setup: Setup) -> Chosen[Fit]:
    """The contender."""
    options = {f"{f.factors} factors, penalty {f.penalty:g}, {f.epochs} epochs, last {f.history}": f for f in FITS}
    return Chosen(NAME, lambda fit: PersonalisedRanking(fit, setup.seed), options)


class PersonalisedRanking:
    """BPR has no closed form for a user who goes on, so a user's factor is the mean factor of the newest items."""

    name = NAME

    def __init__(self, fit: Fit, seed: int) -> None:
        self._fit, self._seed = fit, seed

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        matrix = user_items(stream, known, end)
        from implicit.cpu.bpr import BayesianPersonalizedRanking as Model

        fit = self._fit
        model = Model(
            factors=fit.factors,
            learning_rate=LEARNING_RATE,
            regularization=fit.penalty,
            iterations=fit.epochs,
            num_threads=1,
            random_state=self._seed,
        )
        model.fit(matrix, show_progress=False)
        self._factors: NDArray[np.float32] = np.asarray(model.item_factors, np.float32)
        self._scores = FactorScores(stream, known, end, self._factors, fit.history)

    def ask(self, at: int) -> Answer:
        newest = self._scores.newest(at)
        if not newest.size:
            return self._scores.answer(None)
        user: NDArray[np.float32] = self._factors[newest].mean(axis=0)
        user[-1] = 1.0  # the last column of implicit's item factors is the item's bias
        return self._scores.answer(user)

    def learn(self, at: int) -> None:
        self._scores.past.learn(at)

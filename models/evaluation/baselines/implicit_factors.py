"""`als` and `bpr`: matrix factorisation by the library `implicit`, fitted once, at the mark.

ALS: implicit feedback with confidences (Hu, Koren and Volinsky, ICDM 2008). BPR: Bayesian personalised ranking (Rendle et al.,
UAI 2009). Items' factors stay as fitted; a user's follows from the newest items of their history at every question, so users
go on. Items that came after the fit stand below all others; without a fitted item in the history it is popularity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F4
from models.evaluation.baselines.chosen import Chosen
from models.evaluation.contract import Answer, Known, Setup, Stream, UnavailableError
from models.evaluation.history import UserPrefix

ALS_ITERATIONS: Final = 15
BPR_LEARNING_RATE: Final = 0.05


class AlsFit(NamedTuple):
    """Hyper-parameters of `als`."""

    factors: int
    penalty: float
    alpha: float
    """Confidence of an engagement; that of its absence is 1."""
    history: int
    """The newest so many items make the user's factor."""


class BprFit(NamedTuple):
    """Hyper-parameters of `bpr`."""

    factors: int
    penalty: float
    epochs: int
    history: int
    """The newest so many items make the user's factor."""


ALS_FITS: Final = (
    AlsFit(64, 10.0, 10.0, 20),
    AlsFit(64, 10.0, 10.0, 200),
    AlsFit(64, 10.0, 2.0, 20),
    AlsFit(64, 10.0, 2.0, 8),
    AlsFit(64, 1.0, 2.0, 20),
    AlsFit(64, 30.0, 10.0, 8),
    AlsFit(64, 10.0, 40.0, 20),
    AlsFit(128, 10.0, 2.0, 8),
)
BPR_FITS: Final = (
    BprFit(64, 0.01, 50, 20),
    BprFit(64, 0.01, 50, 8),
    BprFit(64, 0.01, 100, 8),
    BprFit(64, 0.01, 200, 8),
    BprFit(64, 0.003, 100, 8),
    BprFit(128, 0.01, 100, 8),
    BprFit(64, 0.01, 100, 4),
)


def als(setup: Setup) -> Chosen[AlsFit]:
    """The contender."""
    options = {f"{f.factors} factors, penalty {f.penalty:g}, alpha {f.alpha:g}, last {f.history}": f for f in ALS_FITS}
    return Chosen("als", lambda fit: AlternatingLeastSquares(fit, setup.seed), options)


def bpr(setup: Setup) -> Chosen[BprFit]:
    """The contender."""
    options = {f"{f.factors} factors, penalty {f.penalty:g}, {f.epochs} epochs, last {f.history}": f for f in BPR_FITS}
    return Chosen("bpr", lambda fit: PersonalisedRanking(fit, setup.seed), options)


class _Factorised(ABC):
    """Scores by factors: how they are fitted and how a history becomes a user's factor is the method's."""

    name: str

    def __init__(self, history: int, seed: int) -> None:
        self._history, self._seed = history, seed

    @abstractmethod
    def _fitted_factors(self, matrix: Any) -> F4:
        """(n_items, d) float32 of the CSR matrix of `user_items`."""

    @abstractmethod
    def _user_factor(self, had: F4) -> F4:
        """(d,) of a user with these (h, d) items' factors, newest first; h is above 0."""

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        self._stream = stream
        self._factors = self._fitted_factors(user_items(stream, known, end))
        self._past = UserPrefix(stream, known, end)
        self._has_factor = self._past.count > 0

    def ask(self, at: int) -> Answer:
        newest = self._past.newest(int(self._stream.user[at]), self._history)
        newest = newest[self._has_factor[newest]]
        if not newest.size:
            return Answer(self._past.count.astype(np.float64))
        scores = self._factors @ self._user_factor(self._factors[newest])
        return Answer(np.where(self._has_factor, scores, -np.inf).astype(np.float64))

    def learn(self, at: int) -> None:
        self._past.learn(at)


class AlternatingLeastSquares(_Factorised):
    """A user's factor is solved anew from the history at every question (`fold_in`)."""

    name = "als"

    def __init__(self, fit: AlsFit, seed: int) -> None:
        super().__init__(fit.history, seed)
        self._fit = fit

    def _fitted_factors(self, matrix: Any) -> F4:
        from implicit.cpu.als import AlternatingLeastSquares as Model
        from threadpoolctl import threadpool_limits

        fit = self._fit
        with threadpool_limits(1, "blas"):  # implicit is slow, and warns, where BLAS has threads of its own
            model = Model(
                factors=fit.factors,
                regularization=fit.penalty,
                alpha=fit.alpha,
                iterations=ALS_ITERATIONS,
                num_threads=1,
                random_state=self._seed,
            )
            model.fit(matrix, show_progress=False)
        factors = np.asarray(model.item_factors, np.float32)
        self._gram = factors.T @ factors + fit.penalty * np.eye(fit.factors, dtype=np.float32)
        return factors

    def _user_factor(self, had: F4) -> F4:
        return fold_in(had, self._gram, self._fit.alpha)


class PersonalisedRanking(_Factorised):
    """BPR has no closed form for a user who goes on, so a user's factor is the mean factor of the newest items."""

    name = "bpr"

    def __init__(self, fit: BprFit, seed: int) -> None:
        super().__init__(fit.history, seed)
        self._fit = fit

    def _fitted_factors(self, matrix: Any) -> F4:
        from implicit.cpu.bpr import BayesianPersonalizedRanking as Model

        fit = self._fit
        model = Model(
            factors=fit.factors,
            learning_rate=BPR_LEARNING_RATE,
            regularization=fit.penalty,
            iterations=fit.epochs,
            num_threads=1,
            random_state=self._seed,
        )
        model.fit(matrix, show_progress=False)
        return np.asarray(model.item_factors, np.float32)

    def _user_factor(self, had: F4) -> F4:
        user: F4 = had.mean(axis=0)
        user[-1] = 1.0  # the last column of implicit's item factors is the item's bias
        return user


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


def fold_in(had: F4, gram: F4, alpha: float) -> F4:
    """(d,) the user factor of eq. 4: (Y'Y + penalty I + (alpha - 1) Yu'Yu)^-1 alpha Yu'1.

    Args:
        had: (h, d) factors Yu of the user's items.
        gram: (d, d) Y'Y + penalty I.
        alpha: confidence of an engagement.
    """
    solved: F4 = np.linalg.solve(gram + (alpha - 1) * (had.T @ had), alpha * had.sum(axis=0))
    return solved

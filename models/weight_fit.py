"""Learning the ranking's weights from what people chose next.

Every example is a choice: the features of the item that was engaged with and of others that might have been. With p the softmax
probability of the chosen one under the scores, the loss is

    (1 - p^a) / a,  a = 0.4

which tends to cross-entropy as a goes to 0 (generalised cross-entropy, Zhang and Sabuncu, NeurIPS 2018, eq. 6): choices that
nothing explains pull less. Features are scaled to unit deviation, rows of the gates are pulled towards 0 more than the first
one, and Adam (Kingma and Ba, ICLR 2015) takes full-batch steps, so the same examples give the same weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.weights import GATES, RankingWeights, make_weights, open_gates, user_weights

_F8 = NDArray[np.float64]
_F4 = NDArray[np.float32]

ROBUSTNESS = 0.4
"""a in the loss."""


class Choices(NamedTuple):
    """e choices among up to c candidates each; the first candidate is the one that was chosen."""

    features: _F4
    """(e, c, F) float32."""
    real: NDArray[np.bool_]
    """(e, c) bool: False pads."""
    history: NDArray[np.int64]
    """(e,) int64: usable items in the history."""
    idle_s: _F8
    """(e,) float64."""

    def take(self, rows: NDArray[np.generic]) -> Choices:
        """Those at `rows` (positions or mask)."""
        return Choices(self.features[rows], self.real[rows], self.history[rows], self.idle_s[rows])


class FitOptions(NamedTuple):
    """How to learn."""

    steps: int = 300
    learning_rate: float = 0.05
    l2: float = 1e-4
    gate_l2: float = 1e-3


def fit(
    choices: Choices,
    start: RankingWeights,
    features: NDArray[np.bool_] | None = None,
    options: FitOptions | None = None,
) -> RankingWeights:
    """Weights that explain the choices of users with a history; `cold` and the calibration stay those of `start`.

    Args:
        choices: at least one with history.
        start: where to start from.
        features: (F,) bool: which may be used; the others get 0. None = those that vary.

    Raises:
        ValueError: there is no choice with history.
    """
    options = options or FitOptions()
    choices = choices.take(choices.history > 0)
    if not len(choices.real):
        raise ValueError("there is no choice of a user with history to learn from")
    scale = _deviation(choices)
    used = scale > 0 if features is None else (scale > 0) & features
    scale = np.where(used, scale, 1.0)
    x = (choices.features * np.where(used, 1.0 / scale, 0.0).astype(np.float32)).astype(np.float32)
    gates = open_gates(choices.history, choices.idle_s).astype(np.float32)
    table = np.where(used, start.table * scale, 0.0)
    pull = np.full((len(GATES), 1), options.gate_l2)
    pull[0] = options.l2
    mean, square = np.zeros_like(table), np.zeros_like(table)
    for step in range(1, options.steps + 1):
        gradient = _gradient(x, choices.real, gates, table) + pull * table
        gradient[:, ~used] = 0.0
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = options.learning_rate * min(1.0, 2.0 * (1.0 - step / (options.steps + 1)))
        table -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return make_weights(table / scale, start.cold, start.calibration)


def loss(choices: Choices, weights: RankingWeights) -> float:
    """Mean robust loss."""
    p = probability(choices, weights)
    return float(np.mean((1.0 - p**ROBUSTNESS) / ROBUSTNESS))


def probability(choices: Choices, weights: RankingWeights) -> _F8:
    """(e,) float64: softmax probability of each chosen item."""
    p: _F8 = np.exp(_log_softmax(_scores(choices, weights), choices.real)[:, 0])
    return p


def _scores(choices: Choices, weights: RankingWeights) -> _F8:
    w = user_weights(weights, choices.history, choices.idle_s)
    scores: _F8 = np.einsum("ecf,ef->ec", choices.features, w, optimize=True)
    return scores


def _log_softmax(scores: NDArray[Any], real: NDArray[np.bool_]) -> NDArray[Any]:
    scores = np.where(real, scores, -np.inf)
    scores = scores - scores.max(axis=1, keepdims=True)
    logged: NDArray[Any] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return logged


def _gradient(x: _F4, real: NDArray[np.bool_], gates: _F4, table: _F8) -> _F8:
    """(G, F): of the mean loss."""
    w = gates @ table.astype(np.float32)
    p = np.exp(_log_softmax((x @ w[:, :, None])[:, :, 0], real))
    own = p[:, 0] ** ROBUSTNESS
    pull = p * own[:, None]
    pull[:, 0] -= own
    per_choice = (pull[:, None, :].astype(np.float32) @ x)[:, 0, :]
    gradient: _F8 = (gates.T @ per_choice).astype(np.float64) / len(x)
    return gradient


def _deviation(choices: Choices) -> _F8:
    """(F,): how much each feature varies among the candidates of a choice."""
    n = choices.real.sum(axis=1)[:, None]
    x = np.where(choices.real[:, :, None], choices.features, np.float32(0)).astype(np.float64)
    mean = x.sum(axis=1) / n
    square = (x**2).sum(axis=1) / n
    deviation: _F8 = np.sqrt(np.maximum(square - mean**2, 0.0).mean(axis=0))
    return deviation

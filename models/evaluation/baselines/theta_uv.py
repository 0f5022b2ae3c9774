"""The batch model y = sigmoid(theta . [u; v]) on text vectors: u of the user's past, v of the item. Trained with AdamW.

theta . [u; v] = theta_u . u + theta_v . v is a sum of what the user is like and what the item is like: it says which users
click much and which items are clicked much, but never that this item suits this user; the order of items is the same for
everybody. So it is also trained with the products u * v (element by element) beside them, with which theta can weigh each
direction in which both agree.

As features are linear, a gradient is one product of matrices and AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay
Regularization", Algorithm 2) a few lines: NumPy does, no torch is needed. An intercept is added, which the formula lacks:
without it, an item without text would be clicked with probability 1/2.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I8

VALIDATION: Final = 0.2
"""Of the training exposures, the last: training stops where their log loss no longer falls."""

LEARNING_RATES: Final = (3e-3, 1e-3, 1e-4)
"""Tried in turn; the validation loss chooses."""

HISTORY_DECAY: Final = 0.9
"""What a place of the history counts of the one before it, in u."""

_ROWS_AT_ONCE: Final = 8192


class AdamW(NamedTuple):
    """Hyper-parameters, those that are usual."""

    learning_rate: float = LEARNING_RATES[0]
    weight_decay: float = 1e-2
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    batch: int = 512
    epochs: int = 30
    patience: int = 3
    """Epochs without a lower validation loss after which training ends; the best theta is kept."""


class Moments(NamedTuple):
    """AdamW's state after t steps."""

    theta: F8
    mean: F8
    square: F8
    steps: int


class ShownPairs(NamedTuple):
    """m exposures' features, made when they are needed: as a matrix they would be m (2 or 3) d numbers."""

    users: F4
    """(s, d) u of each list."""
    items: F4
    """(n, d) v of each item."""
    user: I8
    """(m,) row of `users`."""
    item: I8
    """(m,) row of `items`."""
    with_product: bool

    @property
    def size(self) -> int:
        """Columns, the intercept's last."""
        return (3 if self.with_product else 2) * int(self.users.shape[1]) + 1

    def rows(self, rows: I8) -> F4:
        """(r, size) float32. Vectors are of length sqrt(d), so that numbers are about 1 and so is a fit for AdamW's steps."""
        length = np.float32(np.sqrt(self.users.shape[1]))
        u, v = length * self.users[self.user[rows]], length * self.items[self.item[rows]]
        columns = (u, v, u * v) if self.with_product else (u, v)
        return np.hstack((*columns, np.ones((len(rows), 1), np.float32)))


class Fitted(NamedTuple):
    """What training found."""

    theta: F8
    """(size,)."""
    learning_rate: float
    epochs: int
    """After how many it was best."""
    validation_loss: float


def past_vector(vectors: F4, gains: F8) -> F4:
    """(d,) float32 u: the mean of (h, d) vectors of past items, newest first, weighted by gain and HISTORY_DECAY per place.

    Rows of zeros, items without text, have no part in it; without any other u is 0.
    """
    weight = gains * HISTORY_DECAY ** np.arange(len(gains)) * np.any(vectors != 0, axis=1)
    total = np.abs(weight).sum()
    return np.zeros(vectors.shape[1], np.float32) if total == 0 else (weight @ vectors / total).astype(np.float32)


def adamw_step(state: Moments, gradient: F8, decayed: NDArray[np.bool_], options: AdamW) -> Moments:
    """One step: theta -= rate (m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps) + decay theta)."""
    steps = state.steps + 1
    mean = options.beta_1 * state.mean + (1 - options.beta_1) * gradient
    square = options.beta_2 * state.square + (1 - options.beta_2) * gradient * gradient
    ahead = mean / (1 - options.beta_1**steps) / (np.sqrt(square / (1 - options.beta_2**steps)) + options.epsilon)
    decay = options.weight_decay * state.theta * decayed
    return Moments(state.theta - options.learning_rate * (ahead + decay), mean, square, steps)


def fit_best(pairs: ShownPairs, clicked: NDArray[np.bool_], train: int, seed: int) -> Fitted:
    """`fit` with each of the `LEARNING_RATES`, the one with the lowest validation loss; of equal ones the first.

    Raises:
        ValueError: as `fit`.
    """
    found = (fit(pairs, clicked, train, seed, AdamW(learning_rate=rate)) for rate in LEARNING_RATES)
    return min(found, key=lambda each: each.validation_loss)


def fit(pairs: ShownPairs, clicked: NDArray[np.bool_], train: int, seed: int, options: AdamW | None = None) -> Fitted:
    """Train on the first `train` exposures; the last `VALIDATION` of them decide when to stop.

    Raises:
        ValueError: there are fewer than two kinds of outcome to learn from, or nothing to validate on.
    """
    options = AdamW() if options is None else options
    learned = train - int(VALIDATION * train)
    if learned == train or clicked[:learned].all() or not clicked[:learned].any():
        raise ValueError("too few exposures, or no clicks, before the mark to train on")
    rate = clicked[:learned].mean()
    theta = np.zeros(pairs.size)
    theta[-1] = np.log(rate / (1 - rate))
    state = Moments(theta, np.zeros(pairs.size), np.zeros(pairs.size), 0)
    decayed = np.arange(pairs.size) < pairs.size - 1
    held = np.arange(learned, train)
    best = Fitted(theta, options.learning_rate, 0, _loss(pairs, clicked, held, theta))
    rng = np.random.default_rng(seed)
    for epoch in range(1, options.epochs + 1):
        for rows in np.split(rng.permutation(learned), range(options.batch, learned, options.batch)):
            x = pairs.rows(rows)
            missed = _sigmoid(x @ state.theta) - clicked[rows]
            state = adamw_step(state, missed @ x / len(rows), decayed, options)
        loss = _loss(pairs, clicked, held, state.theta)
        if loss < best.validation_loss:
            best = Fitted(state.theta, options.learning_rate, epoch, loss)
        if epoch - best.epochs >= options.patience:
            break
    return best


def predict(pairs: ShownPairs, theta: F8, rows: I8) -> F8:
    """(r,) float64 probability of each."""
    found = [_sigmoid(pairs.rows(rows[at : at + _ROWS_AT_ONCE]) @ theta) for at in range(0, len(rows), _ROWS_AT_ONCE)]
    return np.concatenate([np.empty(0), *found])


def _loss(pairs: ShownPairs, clicked: NDArray[np.bool_], rows: I8, theta: F8) -> float:
    p = np.clip(predict(pairs, theta, rows), 1e-7, 1 - 1e-7)
    return float(-np.log(np.where(clicked[rows], p, 1 - p)).mean())


def _sigmoid(logit: F8) -> F8:
    p: F8 = 0.5 * (1.0 + np.tanh(0.5 * logit))
    return p

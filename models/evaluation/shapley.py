"""Shapley values of a score over the things it was made from, for auditing what an explanation says. Offline: many scores.

A game is the score of one item as a function of which of n behaviours are there. A behaviour's Shapley value is what it adds
to the score, averaged over all orders in which the n could have arrived (Strumbelj and Kononenko, "Explaining prediction models
and individual predictions with feature contributions", KAIS 2014). Orders are sampled (Castro, Gomez and Tejada, "Polynomial
calculation of the Shapley value based on sampling", Computers & OR 2009): each order's increments add up to the score with
everything less the score with nothing, so the estimates do too, however few the orders.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8

Game = Callable[[NDArray[np.bool_]], F8]
"""(m, n) bool, True = is there -> (m,) float64 scores."""

MOST_EXACT: Final = 16
"""Behaviours up to which all sets are scored."""

_ORDERS_AT_ONCE: Final = 16


class Shapley(NamedTuple):
    """Values of n behaviours."""

    values: F8
    """(n,) in units of the score; they sum to `everything - nothing`."""
    standard_error: F8
    """(n,) of `values`: standard deviation of an order's increment over the root of the orders; 0 where exact."""
    nothing: float
    """The score with none of them."""
    everything: float
    orders: int
    """That were sampled; 0 where exact."""


def sampled(game: Game, n: int, orders: int, rng: np.random.Generator) -> Shapley:
    """Estimates from so many random orders, n + 1 scores each.

    Raises:
        ValueError: fewer than 2 orders: their spread is not known.
    """
    if orders < 2:
        raise ValueError(f"{orders} orders say nothing of how far they are from the truth")
    nothing = everything = 0.0
    total, squares = np.zeros(n), np.zeros(n)
    for start in range(0, orders, _ORDERS_AT_ONCE):
        drawn = np.stack([rng.permutation(n) for _ in range(min(_ORDERS_AT_ONCE, orders - start))])
        place = np.argsort(drawn, axis=1)
        present = place[:, None, :] < np.arange(n + 1)[None, :, None]
        scores = game(present.reshape(-1, n)).reshape(len(drawn), n + 1)
        increments = np.take_along_axis(np.diff(scores, axis=1), place, axis=1)
        total += increments.sum(axis=0)
        squares += (increments**2).sum(axis=0)
        nothing, everything = float(scores[0, 0]), float(scores[0, -1])
    mean = total / orders
    variance = np.maximum(squares - orders * mean**2, 0.0) / (orders - 1)
    return Shapley(mean, np.sqrt(variance / orders), nothing, everything, orders)


def exact(game: Game, n: int) -> Shapley:
    """From the scores of all 2^n sets.

    Raises:
        ValueError: n is more than `MOST_EXACT`.
    """
    if n > MOST_EXACT:
        raise ValueError(f"{n} behaviours have too many sets; at most {MOST_EXACT}")
    codes = np.arange(1 << n)
    present = (codes[:, None] >> np.arange(n)) & 1 == 1
    scores = game(present)
    size = present.sum(axis=1)
    share = np.array([1.0 / (n * comb(n - 1, k)) for k in range(n)])  # of a set of k others
    values = np.empty(n)
    for i in range(n):
        others = codes[~present[:, i]]
        values[i] = float(share[size[others]] @ (scores[others | (1 << i)] - scores[others]))
    return Shapley(values, np.zeros(n), float(scores[0]), float(scores[-1]), 0)

"""Credit that is learned from all paths: which strategies would conversions be lost without?

- Removal effects of a first-order Markov chain: Anderl, Becker, von Wangenheim & Schumann 2016 (IJRM 33), sections 3 and 4.
- Shapley values of the game in which a set of strategies is worth the conversions whose paths it covers: Zhao, Mahboobi &
  Bagheri 2018 (arXiv 1804.05327), section 3. Exact, over all sets. It knows neither order nor paths that did not convert.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import factorial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8

STRATEGIES_MAX: Final = 16
"""Shapley values go over all sets of strategies, 2 to that power."""


class Path(NamedTuple):
    """What people saw one after the other, and how often that led where. Paths that are equal may be counted together."""

    strategies: tuple[int, ...]
    """Codes, in order of time."""
    conversions: float
    """How many of the paths converted; fractions and refunds (negative) count as they are."""
    others: float = 0.0
    """How many did not."""


def markov_shares(paths: Sequence[Path], strategies: int) -> F8:
    """(strategies,) The removal effects, scaled to sum to 1; zeros where no path converted.

    The chain goes from start over strategies to conversion or loss, with transitions as often as in the paths. Removing a
    strategy turns every transition to it into a loss; its effect is the part of conversions that is lost.
    """
    moves = _transitions(paths, strategies)
    whole = _conversion_probability(moves)
    if whole <= 0.0:
        return np.zeros(strategies)
    effects = np.array([1.0 - _conversion_probability(_without(moves, s)) / whole for s in range(strategies)])
    effects[~_present(paths, strategies)] = 0.0
    return _scaled(np.maximum(effects, 0.0))


def shapley_shares(paths: Sequence[Path], strategies: int) -> F8:
    """(strategies,) Shapley values, scaled to sum to 1; zeros where no path converted.

    Raises:
        ValueError: more than `STRATEGIES_MAX` strategies.
    """
    if strategies > STRATEGIES_MAX:
        raise ValueError(f"more than {STRATEGIES_MAX} strategies")
    exactly = np.zeros(1 << strategies)
    for path in paths:
        if path.strategies:
            exactly[sum({1 << s for s in path.strategies})] += max(path.conversions, 0.0)
    sets = np.arange(1 << strategies)
    worth = np.array([exactly[(sets & ~coalition) == 0].sum() for coalition in sets])
    size = np.array([int(each).bit_count() for each in sets])
    weight = np.array([factorial(k) * factorial(strategies - k - 1) for k in range(strategies)]) / factorial(strategies)
    values = np.zeros(strategies)
    for s in range(strategies):
        without = sets[(sets >> s) & 1 == 0]
        values[s] = weight[size[without]] @ (worth[without | (1 << s)] - worth[without])
    return _scaled(values)


def divided(strategies: Sequence[int], shares: F8) -> F8:
    """(t,) One outcome's credit over its touches in proportion to their strategies' shares; sums to 1.

    Evenly where none of them has a share; empty without touches.
    """
    weight: F8 = shares[np.asarray(strategies, np.int64)]
    total = weight.sum()
    found: F8 = weight / total if total > 0.0 else np.full(len(weight), 1.0 / max(1, len(weight)))
    return found


def _transitions(paths: Sequence[Path], strategies: int) -> F8:
    """(1 + strategies, strategies + 2) How often: rows are start and strategies, columns strategies, conversion, loss."""
    counts = np.zeros((strategies + 1, strategies + 2))
    for path in paths:
        if not path.strategies:
            continue
        converted, lost = max(path.conversions, 0.0), max(path.others, 0.0)
        counts[0, path.strategies[0]] += converted + lost
        for before, after in pairwise(path.strategies):
            counts[before + 1, after] += converted + lost
        counts[path.strategies[-1] + 1, strategies] += converted
        counts[path.strategies[-1] + 1, strategies + 1] += lost
    total = counts.sum(axis=1, keepdims=True)
    found: F8 = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    return found


def _without(moves: F8, strategy: int) -> F8:
    left = moves.copy()
    left[:, -1] += left[:, strategy]
    left[:, strategy] = 0.0
    return left


def _conversion_probability(moves: F8) -> float:
    """From the start. x = R + Q x over the strategies; every visited state reaches an end, so I - Q can be inverted."""
    strategies = len(moves) - 1
    reached = np.linalg.solve(np.eye(strategies) - moves[1:, :strategies], moves[1:, strategies])
    return float(moves[0, :strategies] @ reached + moves[0, strategies])


def _present(paths: Sequence[Path], strategies: int) -> NDArray[np.bool_]:
    found = np.zeros(strategies, np.bool_)
    for path in paths:
        found[list(path.strategies)] = True
    return found


def _scaled(values: F8) -> F8:
    total = values.sum()
    return values / total if total > 0 else np.zeros_like(values)

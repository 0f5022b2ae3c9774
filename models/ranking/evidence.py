"""Whether one of several ways is surely better than the usual one: fading sums of how much better each was, judged by one.

Following what was best lately is from Herbster and Warmuth ("Tracking the best expert", Machine Learning 32, 1998); the test is
for caution: without it, noise cost a shop whose newcomers have no taste in common up to a sixth of their NDCG@10.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.compiled import compiled

JUDGED_AT: Final = 10
"""Places of a list that count."""

MEMORY: Final = 300.0
"""Judgements after which one counts a factor e less."""

SURE: Final = 2.0
"""Standard errors by which another way's mean has to be above 0."""

LEAST: Final = 30.0
"""Judgements without which nothing is said."""

NONE: Final = -1
"""No way is surely better."""


class Evidence(NamedTuple):
    """Fading sums over judgements; those of several partitions add up."""

    n: float
    """Judgements."""
    n_squared: float
    """Of the square of what each counts."""
    better: F8
    """(A,) of each way's gain over the usual one."""
    better_squared: F8


class Surest(NamedTuple):
    """What to do, and why."""

    way: int
    """The one with the best mean among those that are surely better; `NONE`."""
    better: F8
    """(A,) mean gain."""
    error: F8
    """(A,) standard error of that."""
    judgements: float
    """So many, each counting alike, would say as much."""


def no_evidence(ways: int) -> Evidence:
    """Nobody has judged yet."""
    return Evidence(0.0, 0.0, np.zeros(ways), np.zeros(ways))


def worth(lists: NDArray[np.int32], taken: NDArray[np.int64]) -> F8:
    """(m, L) float64: 1 / log2(1 + place) of what was taken in each list, 0 beyond `JUDGED_AT`: NDCG of one item.

    Args:
        lists: (m, L, k) or (1, L, k) dense indices, best first.
        taken: (m,) dense indices, -1 of items that nobody knows.
    """
    at = lists[:, :, :JUDGED_AT] == taken[:, None, None]
    at &= taken[:, None, None] >= 0
    found: F8 = (at / np.log2(2.0 + np.arange(at.shape[2]))).sum(axis=2)
    return found


def remember(evidence: Evidence, better: F8) -> Evidence:
    """With m judgements more, (m, A) gains over the usual way in the order in which they came. One after another, so that it
    does not matter how many are told at once."""
    sums, squared = evidence.better.copy(), evidence.better_squared.copy()
    n, n_squared = _remember(evidence.n, evidence.n_squared, sums, squared, better)
    return Evidence(n, n_squared, sums, squared)


@compiled
def _remember(n: float, n_squared: float, sums: F8, squared: F8, better: F8) -> tuple[float, float]:
    keep = np.exp(-1.0 / MEMORY)
    for i in range(len(better)):
        n, n_squared = keep * n + 1.0, keep * keep * n_squared + 1.0
        for a in range(len(sums)):
            sums[a], squared[a] = keep * sums[a] + better[i, a], keep * squared[a] + better[i, a] * better[i, a]
    return n, n_squared


def add_up(parts: Iterable[Evidence], ways: int) -> Evidence:
    """Of all partitions."""
    n, n_squared, better, squared = no_evidence(ways)
    for each in parts:
        n, n_squared = n + each.n, n_squared + each.n_squared
        better, squared = better + each.better, squared + each.better_squared
    return Evidence(n, n_squared, better, squared)


def surest(evidence: Evidence, allowed: NDArray[np.bool_] | None = None, by: float = SURE) -> Surest:
    """Which way to go; of those that are `allowed`, (A,), and better `by` so many standard errors."""
    n = max(evidence.n, 1e-9)
    effective = n * n / max(evidence.n_squared, 1e-9)
    mean = evidence.better / n
    error = np.sqrt(np.maximum(evidence.better_squared / n - mean**2, 0.0) / max(effective, 1.0))
    sure = (mean > by * error) & (evidence.n >= LEAST)
    if allowed is not None:
        sure &= allowed
    way = int(np.argmax(np.where(sure, mean, 0.0))) if sure.any() else NONE
    return Surest(way, mean, error, effective if evidence.n > 0.0 else 0.0)

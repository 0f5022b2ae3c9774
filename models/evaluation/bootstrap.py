"""Confidence intervals: percentile bootstrap over users, because the questions of one user are not independent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8

RESAMPLES: Final = 1000
_BLOCK_BYTES: Final = 64 << 20


class Interval(NamedTuple):
    """A 95 % percentile interval."""

    low: float
    high: float


class Part(NamedTuple):
    """A slice of the questions and what is to be averaged over it."""

    mask: NDArray[np.bool_]
    """(q,) The questions in the slice."""
    values: F8
    """(metrics, q); what is outside the mask is not looked at."""


class Resamples:
    """Draws of users with replacement, as many as there are.

    The draws are the same for every metric, slice and contender, so the difference of two contenders has the interval of a
    paired comparison. The metric of a draw is the sum over its users' questions divided by their number (a ratio estimator).
    Draws without a question in a slice are left out of that slice's interval.
    """

    def __init__(self, user: NDArray[np.int32], seed: int, resamples: int = RESAMPLES) -> None:
        """`user`: (q,) whose question each is, q > 0."""
        distinct, self._group = np.unique(user, return_inverse=True)
        self._n = distinct.size
        self._seed, self._resamples = seed, resamples

    def intervals(self, parts: Sequence[Part]) -> list[list[Interval]]:
        """For every part one interval per row of its values; NaN where there are no questions."""
        columns = [self._sums(row * part.mask) for part in parts for row in (*part.values, np.ones(part.mask.size))]
        table = np.stack(columns, axis=1)
        drawn = np.concatenate([weights @ table for weights in self._weights()])
        found, start = [], 0
        for part in parts:
            stop = start + len(part.values)
            sums, sizes = drawn[:, start:stop], drawn[:, stop]
            found.append(_percentiles(sums[sizes > 0] / sizes[sizes > 0, None]))
            start = stop + 1
        return found

    def of(self, statistic: Callable[[F8], F8]) -> list[Interval]:
        """Intervals of what is no mean: `statistic` gets how often each question is drawn, (q,), and gives (s,) numbers.

        Draws for which a number is NaN are left out of its interval.
        """
        drawn = np.array([statistic(weights[self._group]) for block in self._weights() for weights in block])
        return [_percentiles(column[~np.isnan(column), None])[0] for column in drawn.T]

    def _sums(self, values: F8) -> F8:
        sums: F8 = np.bincount(self._group, weights=values, minlength=self._n).astype(np.float64)
        return sums

    def _weights(self) -> Iterator[F8]:
        """Blocks of (resamples, users): how often each draw has each user."""
        rng = np.random.default_rng(self._seed)
        block = max(1, min(self._resamples, _BLOCK_BYTES // (8 * self._n)))
        for start in range(0, self._resamples, block):
            rows = min(block, self._resamples - start)
            drawn = rng.integers(0, self._n, (rows, self._n))
            flat = drawn + np.arange(rows)[:, None] * self._n
            yield np.bincount(flat.ravel(), minlength=rows * self._n).reshape(rows, self._n).astype(np.float64)


def _percentiles(means: F8) -> list[Interval]:
    if not len(means):
        return [Interval(float("nan"), float("nan"))] * means.shape[1]
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]

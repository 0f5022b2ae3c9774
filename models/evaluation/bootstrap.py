"""Confidence intervals: percentile bootstrap over users, because the questions of one user are not independent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_F8 = NDArray[np.float64]

RESAMPLES: Final = 1000
_BLOCK_BYTES: Final = 64 << 20


class Interval(NamedTuple):
    """A 95 % percentile interval."""

    low: float
    high: float


class Resamples:
    """Draws of users with replacement, as many as there are; the same draws for every contender, so differences are paired.

    The metric of a draw is the sum over its users' questions divided by their number (a ratio estimator).
    """

    def __init__(self, user: NDArray[np.int32], seed: int, resamples: int = RESAMPLES) -> None:
        """`user`: (q,) whose question each is."""
        distinct, self._group = np.unique(user, return_inverse=True)
        self._n = distinct.size
        self._seed, self._resamples = seed, resamples
        self._size = np.bincount(self._group, minlength=self._n).astype(np.float64)

    def intervals(self, values: _F8) -> list[Interval]:
        """One interval per row of (metrics, q) values; without questions they are NaN."""
        if not self._n:
            return [Interval(float("nan"), float("nan"))] * len(values)
        sums = np.stack([np.bincount(self._group, weights=row, minlength=self._n) for row in values], axis=1)
        columns = np.column_stack((sums, self._size))
        drawn = np.concatenate([weights @ columns for weights in self._weights()])
        means = drawn[:, :-1] / drawn[:, -1:]
        low, high = np.percentile(means, (2.5, 97.5), axis=0)
        return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]

    def _weights(self) -> Iterator[_F8]:
        """Blocks of (resamples, users): how often each draw has each user."""
        rng = np.random.default_rng(self._seed)
        block = max(1, min(self._resamples, _BLOCK_BYTES // (8 * self._n)))
        for start in range(0, self._resamples, block):
            rows = min(block, self._resamples - start)
            drawn = rng.integers(0, self._n, (rows, self._n))
            flat = drawn + np.arange(rows)[:, None] * self._n
            yield np.bincount(flat.ravel(), minlength=rows * self._n).reshape(rows, self._n).astype(np.float64)

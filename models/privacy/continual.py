"""Sums that grow from release to release, each of them noised, at a price that grows with the logarithm of their number.

What came new in release t is x_t, and everybody sees the totals x_1 + .. + x_t. Noising every total apart would cost
sqrt(T) in noise; noising what came new and adding up costs as much in the sums. The square root of the matrix of running
sums lies between: with f_k = binomial(2k, k) / 4^k and C[t, s] = f_(t-s), C C = A, the lower triangle of ones; released is
y = C x + noise, and A C^-1 y are the totals. Their noise is at most ||f||^2 = 1 + ln(T) / pi + O(1) times that of one
release (Fichtenberger, Henzinger and Upadhyay, ICML 2023; Henzinger, Upadhyay and Upadhyay, SODA 2023), below half
that of the binary tree (Dwork et al., STOC 2010; Chan, Shi and Song, 2011).

Here f is rounded to integers, so that y is made of integers and its noise can be the discrete Gaussian: floats of a continuous
one give away more than they should (Mironov, CCS 2012). That only changes C a little, and what is computed from y is anyone's.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNIT: Final = 256
"""f_0 = 1 in these integers."""


class Factor(NamedTuple):
    """C of T releases."""

    coefficients: NDArray[np.int64]
    """(T,) int64: C[t, s] = coefficients[t - s]."""

    @property
    def norm(self) -> float:
        """L2 norm of the first column, the longest: what one that was added in one release changes y by, at most."""
        return float(np.sqrt((self.coefficients.astype(np.float64) ** 2).sum()))


def factor(releases: int, weight: float = 1.0) -> Factor:
    """C of so many releases, times `weight`: a statistic that weighs more has less noise, and leaves more to others.

    `releases` is 1 or more; `weight` is above 0.
    """
    ratios = np.ones(releases)
    k = np.arange(1, releases)
    ratios[1:] = (2 * k - 1) / (2 * k)
    return Factor(np.maximum(1, np.rint(UNIT * weight * np.cumprod(ratios))).astype(np.int64))


def encoded(new: NDArray[np.int64], of: Factor) -> NDArray[np.int64]:
    """(n,) int64: the last row of C x, where `new` (t, n) int64 is what came in each release up to this one."""
    told: NDArray[np.int64] = of.coefficients[: len(new)][::-1] @ new
    return told


class Weighting(NamedTuple):
    """What y is multiplied with for a sum of the x_s with weights w_s, and how noisy that is."""

    of_noised: NDArray[np.float64]
    """(t,): the sum is `of_noised @ y`."""
    noise: float
    """Its standard deviation, if that of each y is 1."""


def weighting(weights: NDArray[np.float64], of: Factor) -> Weighting:
    """For sums w_1 x_1 + .. + w_t x_t; all ones are the totals, others fade what is older. `weights` is (t,)."""
    t = len(weights)
    at = np.arange(t)
    lower = np.where(at[:, None] >= at, of.coefficients[np.maximum(at[:, None] - at, 0)], 0).astype(np.float64)
    # w C^-1: of a triangle with T <= thousands once per release.
    found = np.asarray(np.linalg.solve(lower.T, weights), np.float64)
    return Weighting(found, float(np.sqrt((found**2).sum())))

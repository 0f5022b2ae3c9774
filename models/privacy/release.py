"""Item statistics that may be shown to everybody: counts of items and of pairs, noised, from release to release of a horizon.

The unit is a person, with everything they do within the horizon: with or without them, all releases together look alike to
(epsilon, delta). One person changes the counts by at most `Contribution.items` ones and `Contribution.pairs` ones, each in
one release, and the integers that are noised (`continual`) by at most `sensitivity` in L2. So the promise is that of one
Gaussian mechanism, whose parts are told one after another. That what comes later may depend on what was told before (people
see lists) does not harm: what each release can give away of one person adds up to no more than the bound, whichever way they
go (fully adaptive composition of zero-concentrated privacy: Feldman and Zrnic, NeurIPS 2021; Whitehouse et al., ICML 2023).

Which items and pairs there are is public (the catalogue and its texts): each of them is noised, also those that nobody had,
so nothing is given away by what is there. What rests below the noise is told as 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.privacy.bounds import Contribution, Promise, checked_releases
from models.privacy.continual import Factor, Weighting, encoded, factor, weighting
from models.privacy.noise import noised, scale_for

PAIRS_WEIGHT: Final = 2.0
"""How much of a pair's count is told, to 1 of an item's: the noise of the pairs is so many times smaller."""


class Budget(NamedTuple):
    """What was fixed before the first release, and may not change until the horizon ends."""

    promise: Promise
    contribution: Contribution
    releases: int
    items: Factor
    pairs: Factor
    scale: float
    """Standard deviation of each integer's noise; 0 tells everything as it is, and promises nothing."""

    @property
    def sensitivity(self) -> float:
        """What one person changes all integers of all releases by at most, L2."""
        return sensitivity(self.contribution, self.items, self.pairs)


def sensitivity(contribution: Contribution, items: Factor, pairs: Factor) -> float:
    """L2 norm of the most that one person adds: each item and pair of theirs is a series of its own."""
    return float(np.sqrt(contribution.items * items.norm**2 + contribution.pairs * pairs.norm**2))


def budget(promise: Promise, contribution: Contribution, releases: int, pairs_weight: float = PAIRS_WEIGHT) -> Budget:
    """What so many releases cost.

    Raises:
        PrivacyBoundsError: as `bounds.checked_releases`.
        NoOpenDPError: OpenDP is not installed.
    """
    items, pairs = factor(checked_releases(releases)), factor(releases, pairs_weight)
    scale = scale_for(promise, sensitivity(contribution, items, pairs))
    return Budget(promise, contribution, releases, items, pairs, scale)


def exact_budget(contribution: Contribution, releases: int, pairs_weight: float = PAIRS_WEIGHT) -> Budget:
    """The same bounds without noise, which promises nothing: what the bounds alone cost."""
    nothing = Promise(float("inf"), 1.0)
    return Budget(nothing, contribution, releases, factor(releases), factor(releases, pairs_weight), 0.0)


class Estimates(NamedTuple):
    """Sums of what was counted, as far as the noise lets one see."""

    value: F8
    """(n,)."""
    noise: float
    """Standard deviation of each of them."""

    def above_noise(self, times: float) -> F8:
        """(n,) float64, 0 or more: each less so many standard deviations, which leaves little of what is noise alone (soft
        thresholding: Donoho, 1995)."""
        return np.maximum(self.value - times * self.noise, 0.0)


class Series:
    """One kind of statistic, such as counts of items, over the releases of a horizon."""

    def __init__(self, size: int, of: Factor, scale: float) -> None:
        """Of `size` statistics. What is counted exactly stays in here."""
        self._factor, self._scale = of, scale
        self._new = np.zeros((0, size), np.int64)
        self._told = np.zeros((0, size), np.int64)

    def release(self, new: NDArray[np.int64]) -> None:
        """Tell what this release adds, (n,) int64.

        Raises:
            ValueError: all releases of the horizon have been made.
        """
        if len(self._new) >= len(self._factor.coefficients):
            raise ValueError(f"all {len(self._factor.coefficients)} releases of this horizon have been made")
        self._new = np.vstack((self._new, new))
        row = encoded(self._new, self._factor)
        self._told = np.vstack((self._told, noised(row, self._scale) if self._scale > 0.0 else row))

    @property
    def releases(self) -> int:
        """Made so far."""
        return len(self._told)

    def total(self) -> Estimates:
        """Everything so far."""
        return self.weighted(np.ones(self.releases))

    def weighted(self, weights: F8) -> Estimates:
        """Each release's part times a weight, (t,)."""
        found: Weighting = weighting(weights, self._factor)
        return Estimates(found.of_noised @ self._told, found.noise * self._scale)


def of_release(values: I8, release: I8, wanted: int, size: int) -> NDArray[np.int64]:
    """(size,) int64: how often each value is counted in this release."""
    return np.bincount(values[release == wanted], minlength=size).astype(np.int64)

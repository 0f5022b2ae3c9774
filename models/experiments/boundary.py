"""How far a sum may wander by chance, at all times at once: the two-sided normal mixture.

For a martingale S with variance process V that is Gaussian, or close to it by the time that one looks, the probability that
|S| ever exceeds `boundary(V)` is at most alpha, however often one looks: Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon
2021 (Annals of Statistics 49(2), "Time-uniform, nonparametric, nonasymptotic confidence sequences"), the two-sided normal
mixture; with an estimated variance asymptotically: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024 (Annals of
Statistics 52(6), "Time-uniform central limit theory and asymptotic confidence sequences"). It is the mixture
SPRT of Johari, Koomen, Pekelis and Walsh 2022 (Operations Research 70(3), "Always valid inference"), turned into an
interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.arrays import F8


def tuned(variance: float, alpha: float) -> float:
    """The `rho` with which the boundary is nearly narrowest where the variance of the sum is `variance`: the closed form of
    Waudby-Smith et al. (appendix on optimizing Robbins' normal mixture), whose rho squared is 1 / ours. To be chosen
    before the data."""
    two_logs = -2.0 * math.log(alpha)
    return variance / (two_logs + math.log(two_logs) + 1.0)


def boundary(variance: ArrayLike, rho: ArrayLike, alpha: float) -> Any:
    """Of |S|, in its unit, where its variance is `variance` (its unit squared); any shapes that fit."""
    v, r = np.asarray(variance, np.float64), np.asarray(rho, np.float64)
    return np.sqrt((v + r) * (np.log1p(v / r) - 2.0 * math.log(alpha)))


def always_valid_p(total: ArrayLike, variance: ArrayLike, rho: ArrayLike) -> F8:
    """1 / the mixture's likelihood ratio, at most 1: below alpha exactly where |S| is beyond `boundary`. The smallest one
    so far is always-valid, too."""
    s, v, r = (np.asarray(each, np.float64) for each in (total, variance, rho))
    log_ratio = s * s / (2.0 * (v + r)) - 0.5 * np.log1p(v / r)
    found: F8 = np.exp(-np.maximum(log_ratio, 0.0))
    return found

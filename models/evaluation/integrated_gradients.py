"""Integrated gradients (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017), in NumPy.

    IG_q = (x_q - b_q) * integral over a in 0 .. 1 of (d score / d x_q)(b + a (x - b))

They sum to score(x) - score(b), whatever the score is, if the integral is exact ("completeness"). Gradients are given by
whoever knows the score: `models.evaluation.additive_score` for the parts that are split among behaviours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from models.arrays import F8

Gradient = Callable[[F8], F8]
"""(m, n) float64 points -> (m, n) float64 gradients there."""

_HALVINGS: Final = 40
_NODES: Final = 8


def path_nodes() -> tuple[F8, F8]:
    """`(a, weights)`: (m,) float64 points between 0 and 1 and what each counts; the weights sum to 1.

    Gauss-Legendre on 0 .. 2^-40, 2^-40 .. 2^-39, .., 1/2 .. 1: a score that is a logarithm of what a behaviour adds has nearly
    all of its gradient close to 0, where points at equal steps would not see it.
    """
    edges = np.concatenate(([0.0], 2.0 ** -np.arange(_HALVINGS, -1, -1.0)))
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    width = np.diff(edges)
    a = edges[:-1, None] + width[:, None] * (points + 1.0) / 2.0
    return a.reshape(-1), (width[:, None] * weights / 2.0).reshape(-1)


def integrated_gradients(gradient: Gradient, point: F8, baseline: F8) -> F8:
    """(n,) float64: each input's share of `score(point) - score(baseline)` along the straight line between the two."""
    a, weights = path_nodes()
    steps = point - baseline
    slopes = gradient(baseline + a[:, None] * steps)
    shares: F8 = steps * (weights @ slopes)
    return shares

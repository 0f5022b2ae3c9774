"""What an arm changed: the difference of two arms' outcomes with an interval that holds however often one looks.

**Unit.** People are what was divided by chance, so people are what is counted: a person's outcomes are one number, however
they depend on each other. A rate (clicks per exposure) is a ratio of sums over people; its variance is that of C - R E, E a
person's exposures (delta method: Deng, Knoblich and Lu 2018, KDD).

**Clock.** S = N D, with N people and the difference D, has variance V = N^2 Var(D), which grows with every outcome that
comes, from new people or from those who are there. `boundary` is asked with V. A person's later outcomes mostly go with
their earlier ones; then S wanders less than what the boundary is made for (Slepian's inequality), and it holds all the
more.

**CUPED.** What a person did before the experiment explains some of what they do in it: theta X is taken off, with X of
before and theta = cov / var within arms (Deng, Xu, Kohavi and Walker 2013, WSDM). As arms are independent of
X, it changes no expectation."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.arrays import F8
from models.experiments.boundary import always_valid_p, boundary, tuned

ALPHA: Final = 0.05

TUNED_AT_OUTCOMES: Final = 2_000
"""Of both arms together: there the intervals are narrowest for what is known. Chosen before any data, so that they stay
valid."""

_STEPS: Final = 60
"""Of bisections: 2**-60 of where they begin."""


class Moments(NamedTuple):
    """Sums over an arm's people, numbers or arrays of equal shapes (one look each). c: outcomes, e: what they are counted
    per (exposures; 1 where it is people), x: outcomes before the experiment."""

    people: F8
    c: F8
    e: F8
    x: F8
    cc: F8
    ee: F8
    xx: F8
    ce: F8
    cx: F8
    ex: F8


class Lift(NamedTuple):
    """Numbers or arrays, as the moments were; NaN where there is nothing to say."""

    control: F8
    """Rate of the control, per person or per exposure; after CUPED."""
    treatment: F8
    difference: F8
    low: F8
    """Of the difference, always-valid."""
    high: F8
    relative: F8
    """treatment / control - 1."""
    relative_low: F8
    """-1: no bound yet; consistent with `low` and `high`: 0 is in both or in none."""
    relative_high: F8
    """Infinite: no bound yet."""
    p: F8
    """Always-valid."""
    explained: F8
    """Share of the variance that CUPED took off."""


def moments(outcomes: ArrayLike, per: ArrayLike | None = None, before: ArrayLike | None = None) -> Moments:
    """Of (n,) people; without `per` each counts 1, without `before` 0."""
    c = np.asarray(outcomes, np.float64)
    e = np.ones_like(c) if per is None else np.asarray(per, np.float64)
    x = np.zeros_like(c) if before is None else np.asarray(before, np.float64)
    products = (c, e, x, c * c, e * e, x * x, c * e, c * x, e * x)
    return Moments(np.asarray(float(len(c))), *(np.asarray(each.sum()) for each in products))


def lift(
    control: Moments, treatment: Moments, shares: tuple[float, float], unit_squared: float = 1.0, alpha: float = ALPHA
) -> Lift:
    """What `treatment` changed.

    Args:
        control, treatment: of the two arms.
        shares: that were meant of the people for control and treatment.
        unit_squared: mean square of what a single outcome adds: 1 for counts, of values that of a purchase.
        alpha: probability that the intervals ever miss the truth.
    """
    arms = control, treatment
    people = control.people + treatment.people
    with np.errstate(all="ignore"):
        theta = _theta(arms)
        mean_x = (control.x + treatment.x) / people
        mean_e = (control.e + treatment.e) / people
        (m0, v0, raw0), (m1, v1, raw1) = (_mean_and_variance(each, theta, mean_x) for each in arms)
        w0, w1 = (each / sum(shares) for each in shares)
        rho = tuned(TUNED_AT_OUTCOMES * unit_squared / (w0 * w1), alpha)
        # In outcomes per person; rates are given per exposure.
        scale = people * mean_e

        def reaches(ratio: Any) -> F8:
            """How far beyond the boundary m1 - ratio m0 is."""
            distance = np.abs(m1 - ratio * m0) * scale
            found: F8 = distance - boundary((v1 + ratio * ratio * v0) * scale * scale, rho, alpha)
            return found

        variance = (v0 + v1) * scale * scale
        half = boundary(variance, rho, alpha) / scale
        low, high = _ratio_bounds(reaches, m0, m1)
        found = Lift(
            m0,
            m1,
            m1 - m0,
            m1 - m0 - half,
            m1 - m0 + half,
            m1 / m0 - 1.0,
            low - 1.0,
            high - 1.0,
            always_valid_p((m1 - m0) * scale, variance, rho),
            1.0 - (v0 + v1) / (raw0 + raw1),
        )
        is_known = (control.people > 1) & (treatment.people > 1) & (mean_e > 0) & (variance > 0)
        return Lift._make(np.where(is_known, each, np.nan) for each in found)


def _theta(arms: tuple[Moments, Moments]) -> F8:
    """Of CUPED, over both arms; 0 where nothing is known of before."""
    covariance, spread = np.zeros(1), np.zeros(1)
    total_e = sum(each.e for each in arms) / sum(each.people for each in arms)
    for each in arms:
        rate = each.c / each.e
        # z = (C - R E) / mean E has the mean 0 within an arm.
        covariance = covariance + (each.cx - rate * each.ex) / total_e
        spread = spread + each.xx - each.x * each.x / each.people
    found: F8 = np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), 0.0).reshape(np.shape(arms[0].c))
    return found


def _mean_and_variance(arm: Moments, theta: F8, mean_x: F8) -> tuple[F8, F8, F8]:
    """Rate per e after CUPED, the variance of that mean, and its variance without CUPED."""
    n, rate, mean_e = arm.people, arm.c / arm.e, arm.e / arm.people
    residual = arm.cc - 2.0 * rate * arm.ce + rate * rate * arm.ee
    spread = arm.xx - arm.x * arm.x / n
    together = arm.cx - rate * arm.ex
    # theta is per person, z in outcomes per mean exposure: z - theta x.
    left = residual / mean_e**2 - 2.0 * theta * together / mean_e + theta * theta * spread
    mean = rate - theta * (arm.x / n - mean_x)
    return mean, left / (n * (n - 1.0)), residual / mean_e**2 / (n * (n - 1.0))


def _ratio_bounds(reaches: Any, m0: F8, m1: F8) -> tuple[F8, F8]:
    """The ratios m1 / m0 that the data do not exclude, by bisection outwards (Fieller's interval with another boundary)."""
    middle = np.where(m0 > 0, np.maximum(m1, 0.0) / np.where(m0 > 0, m0, 1.0), 0.0)
    far = 1000.0 * np.maximum(middle, 1.0)
    inside, outside = middle.copy(), np.zeros_like(middle)
    above, beyond = middle.copy(), far.copy()
    for _ in range(_STEPS):
        at = 0.5 * (inside + outside)
        is_out = reaches(at) > 0
        inside, outside = np.where(is_out, inside, at), np.where(is_out, at, outside)
        at = 0.5 * (above + beyond)
        is_out = reaches(at) > 0
        above, beyond = np.where(is_out, above, at), np.where(is_out, at, beyond)
    low = np.where(reaches(np.zeros_like(middle)) > 0, inside, 0.0)
    high = np.where(reaches(far) > 0, above, np.inf)
    return np.where(m0 > 0, low, 0.0), np.where(m0 > 0, high, np.inf)

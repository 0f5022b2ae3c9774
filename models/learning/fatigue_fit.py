"""How much having been seen and not taken makes a click less likely: the weight of `models.page.fatigue`, from what people saw.

    logit P(click) = a + b score + c log2(1 + slot) - w seen

with the score as it was without fatigue, and `seen` the earlier exposures of the same item that nothing answered, each halved
after its half-life. Items that are shown again are those that rank high for a person, which alone would make a repeated item
look better than it is: the score takes that off. In `models.page` fatigue is taken off the score, so its weight is w / b.
Maximum likelihood by Newton's method with a weak ridge; the standard error has people as its unit (Liang & Zeger, Biometrika
73, 1986), by the delta method for the ratio.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8, I8

RIDGE: Final = 1e-3
STEPS: Final = 50
SURE: Final = 1.96
"""Standard errors by which the slope of the score has to be above 0: else scores do not order clicks, and nothing can be taken
off them."""


class FatigueFit(NamedTuple):
    """Of one half-life."""

    weight: float
    """Taken off the score for each time seen; may be below 0: then people click what they have seen before."""
    error: float
    """Standard error; NaN where it cannot be told."""
    slope: float
    """b."""
    log_likelihood: float
    """Per exposure."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        return self.weight - SURE * self.error, self.weight + SURE * self.error


def fit_fatigue(score: F8, slot: I8, seen: F8, clicked: F8, person: I8) -> FatigueFit:
    """Of n exposures, (n,) each.

    Raises:
        ValueError: there are none, or of one kind only.
    """
    if len(clicked) == 0 or clicked.min() == clicked.max():
        raise ValueError("there must be exposures that were clicked and some that were not")
    spread = max(float(score.std()), 1e-9)
    x = np.stack([np.ones(len(score)), (score - score.mean()) / spread, np.log2(1.0 + slot), -seen], axis=1)
    beta = np.zeros(x.shape[1])
    ridge = RIDGE * np.eye(len(beta))
    ridge[0, 0] = 0.0
    for _ in range(STEPS):
        p = _probability(x @ beta)
        gradient = x.T @ (clicked - p) - ridge @ beta
        hessian = (x * (p * (1.0 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(hessian, gradient)
        beta += step
        if float(np.abs(step).max()) < 1e-9:
            break
    p = _probability(x @ beta)
    inverse = np.linalg.inv((x * (p * (1.0 - p))[:, None]).T @ x + ridge)
    people = int(person.max()) + 1
    sums = np.stack([np.bincount(person, (clicked - p) * column, people) for column in x.T], axis=1)
    covariance = inverse @ (sums.T @ sums * (people / max(1, people - 1))) @ inverse
    slope, w = beta[1] / spread, beta[3]
    log_likelihood = float(np.mean(np.log(np.clip(np.where(clicked > 0.0, p, 1.0 - p), 1e-12, 1.0))))
    if slope <= SURE * float(np.sqrt(max(0.0, covariance[1, 1]))) / spread:
        return FatigueFit(float("nan"), float("nan"), float(slope), log_likelihood)
    # Of w / b: derivatives 1 / b and -w / b^2.
    towards = np.array([0.0, -w / slope**2 / spread, 0.0, 1.0 / slope])
    error = float(np.sqrt(max(0.0, towards @ covariance @ towards)))
    return FatigueFit(float(w / slope), error, float(slope), log_likelihood)


def _probability(logit: F8) -> F8:
    found: F8 = 0.5 * (1.0 + np.tanh(0.5 * logit))
    return found

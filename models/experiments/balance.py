"""Did as many people come into each arm as were meant to? If not, something takes people away from one, and no lift means
anything.

A mixture over Dirichlet-distributed shares against the ones that were meant: the Bayes factor of Lindon and Malek 2022
(NeurIPS, "Anytime-valid inference for multinomial count data"). Its inverse is a p-value that may be looked at
after every person, unlike the chi-square test's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

ALARM_BELOW: Final = 0.001
"""p from which on an experiment is said to be out of balance."""

CONCENTRATION: Final = 1_000.0
"""People that the mixture weighs: shares within about 1.5 points of the meant ones of two halves are what it looks for
first."""


def balance_p(people: Sequence[float], shares: Sequence[float]) -> float:
    """Always-valid p of the arms' (k,) counts of people under the meant (k,) shares, which sum to 1."""
    counts, meant = list(people), list(shares)
    if len(counts) != len(meant) or not math.isclose(sum(meant), 1.0, abs_tol=1e-6):
        raise ValueError("as many shares as arms, that sum to 1")
    total = sum(counts)
    log_factor = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for n, share in zip(counts, meant, strict=True):
        weight = CONCENTRATION * share
        log_factor += math.lgamma(weight + n) - math.lgamma(weight) - n * math.log(share)
    return math.exp(-max(log_factor, 0.0))

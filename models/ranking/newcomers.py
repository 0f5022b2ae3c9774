"""What people without any history are shown: of some impersonal lists the one that their like have taken from most.

Experts are single decayed counts: of all engagements, and of entries, those that were the first of their user. What a newcomer
takes first judges all of them: each gains NDCG@10 of that item in its list at that moment. Another expert than all-time counts
serves while the fading mean of its gain over theirs is clearly above 0. Following the expert that was best lately is from
Herbster and Warmuth ("Tracking the best expert", Machine Learning 32, 1998); the test is for caution: without it, noise cost a
shop whose newcomers have no taste in common up to a sixth of their NDCG@10.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8, I4, I8
from models.compiled import compiled
from models.ranking.features import FEATURES
from models.ranking.weights import RankingWeights
from models.vocabulary import EXPERTS

JUDGED_AT: Final = 10
"""Places of an expert's list that count."""

MEMORY: Final = 300.0
"""Newcomers after which one counts a factor e less."""

SURE: Final = 2.0
"""Standard errors by which another expert's mean has to be above 0."""

LEAST: Final = 30.0
"""Newcomers without whom nothing is said."""


class Evidence(NamedTuple):
    """Fading sums over newcomers; those of several partitions add up."""

    n: float
    """Newcomers."""
    n_squared: float
    """Of the square of what each counts."""
    better: F8
    """(E,) of each expert's gain over that of the first one."""
    better_squared: F8


class Choice(NamedTuple):
    """Who serves, and why."""

    expert: int
    better: F8
    """(E,) mean gain in NDCG@10 over the first expert."""
    error: F8
    """(E,) standard error of that."""
    newcomers: float
    """So many, each counting alike, would say as much."""

    @property
    def name(self) -> str:
        """The expert's."""
        return EXPERTS[self.expert]


def no_evidence() -> Evidence:
    """Nobody has come yet."""
    return Evidence(0.0, 0.0, np.zeros(len(EXPERTS)), np.zeros(len(EXPERTS)))


def gains(leaders: I4, taken: I8) -> F8:
    """(m, E) float64: 1 / log2(1 + place) of what newcomers took in each expert's list, 0 beyond `JUDGED_AT`.

    Args:
        leaders: `models.items.priors.Priors.leaders`.
        taken: (m,) dense indices, -1 of items that nobody knows.
    """
    at = leaders[None, :, :JUDGED_AT] == taken[:, None, None]
    at &= taken[:, None, None] >= 0
    worth: F8 = (at / np.log2(2.0 + np.arange(at.shape[2]))).sum(axis=2)
    return worth


def remember(evidence: Evidence, gained: F8) -> Evidence:
    """With m newcomers more, (m, E) in the order in which they came. One after another, so that it does not matter how many are
    told at once."""
    better, squared = evidence.better.copy(), evidence.better_squared.copy()
    n, n_squared = _remember(evidence.n, evidence.n_squared, better, squared, gained)
    return Evidence(n, n_squared, better, squared)


@compiled
def _remember(n: float, n_squared: float, better: F8, squared: F8, gained: F8) -> tuple[float, float]:
    keep = np.exp(-1.0 / MEMORY)
    for i in range(len(gained)):
        n, n_squared = keep * n + 1.0, keep * keep * n_squared + 1.0
        for e in range(len(better)):
            more = gained[i, e] - gained[i, 0]
            better[e], squared[e] = keep * better[e] + more, keep * squared[e] + more * more
    return n, n_squared


def warm_up() -> None:
    """Compile what runs compiled, before a newcomer waits for it."""
    remember(no_evidence(), np.zeros((1, len(EXPERTS))))


def add_up(of_partitions: Iterable[Evidence]) -> Evidence:
    """Of all newcomers."""
    n, n_squared, better, squared = no_evidence()
    for each in of_partitions:
        n, n_squared = n + each.n, n_squared + each.n_squared
        better, squared = better + each.better, squared + each.better_squared
    return Evidence(n, n_squared, better, squared)


def choose(evidence: Evidence) -> Choice:
    """The expert with the best mean among those that are surely better than the first one, else the first one."""
    n = max(evidence.n, 1e-9)
    effective = n * n / max(evidence.n_squared, 1e-9)
    mean = evidence.better / n
    error = np.sqrt(np.maximum(evidence.better_squared / n - mean**2, 0.0) / max(effective, 1.0))
    sure = (mean > SURE * error) & (evidence.n >= LEAST)
    expert = int(np.argmax(np.where(sure, mean, 0.0)))
    return Choice(expert, mean, error, effective if evidence.n > 0.0 else 0.0)


def with_expert(weights: RankingWeights, expert: int) -> RankingWeights:
    """The same weights, newcomers getting this expert's list; 0: what the weights say themselves."""
    if expert == 0:
        return weights
    cold = np.zeros(len(FEATURES))
    cold[FEATURES.index(EXPERTS[expert])] = 1.0
    return weights._replace(cold=cold, cold_expert=EXPERTS[expert])

"""What another `explore.rate` would have been clicked, from logged places that were drawn with one rate.

Where a place explores, an item of its pool stands with probability rate * p(item), and what would stand there anyway with
1 - rate (`models.page.explore`). Under another rate both factors change and p does not, so the weight of a logged place is
known without its pool:

    drawn  rate' / rate        kept  (1 - rate') / (1 - rate)

and of a whole list it is the product over its places, whose draws do not depend on each other. Nothing else of a placement can
be judged so: other temperatures, bonuses or pools change p(item), of which a record holds only the item that was shown.

Estimates are those of `models.credit.policy_value`, with people as the unit. The model of the doubly robust one is the mean
reward by how many places of a list were drawn, out of how many: all that the weights depend on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.credit.policy_value import PolicyValue, doubly_robust, ips, snips

EFFECTIVE_MIN: Final = 50.0
"""Fewer effective people say nothing: intervals with people as the unit lean on the normal distribution."""

REWARDS_MIN: Final = 10
"""Nor do fewer rewards that have a weight."""

TOLERANCE: Final = 2e-6
"""Of propensities in records: single precision, and millionths in records of reasons."""


class Tried(NamedTuple):
    """n units, each a place or a whole list that somebody saw."""

    person: I8
    """(n,) whose, from 0."""
    drawn: I8
    """(n,) places of the unit that were drawn ..."""
    places: I8
    """(n,) ... out of so many that could be; at least one."""
    reward: F8
    """(n,)."""


class RateValue(NamedTuple):
    """Mean reward per unit under a rate."""

    ips: PolicyValue
    snips: PolicyValue
    doubly_robust: PolicyValue
    difference: PolicyValue
    """Doubly robust value less the logged mean."""
    effective: float
    """People that a sample without weights would need for as much certainty (Kish 1965, over sums of weights of people)."""
    rewarded: int
    """Units with a reward and a weight."""

    @property
    def why_not(self) -> str | None:
        """Why it must not be said; None: it may."""
        if self.effective < EFFECTIVE_MIN:
            return f"{self.effective:.1f} effective people, fewer than {EFFECTIVE_MIN:.0f}"
        if self.rewarded < REWARDS_MIN:
            return f"{self.rewarded} clicks that count, fewer than {REWARDS_MIN}"
        return None


def rate_of(kept: F8, drawn: F8) -> float:
    """The rate of a log, from the propensities of places (k,) that kept their item and (d,) that were drawn.

    What is kept has 1 - rate, so one such place says it; where none was kept the rate was 1.

    Raises:
        ValueError: no single rate explains them.
    """
    if not len(kept):
        return 1.0
    rate = 1.0 - float(np.median(kept))
    if np.abs(kept - (1.0 - rate)).max() > TOLERANCE or (len(drawn) and drawn.max() > rate + TOLERANCE):
        least, most = 1.0 - float(kept.max()), max(1.0 - float(kept.min()), float(drawn.max(initial=0.0)))
        raise ValueError(f"lists were made with more than one rate, {least:.4g} to {most:.4g}")
    return round(rate, 6)


def value_of_rate(tried: Tried, logged: float, rate: float) -> RateValue:
    """What `rate` would have earned where `logged` was in force.

    Raises:
        ValueError: nothing was tried, or the log never did what the rate would do: one was 1, the other is not.
    """
    if not len(tried.reward):
        raise ValueError("nothing was tried")
    if logged == 1.0 and rate < 1.0:
        raise ValueError("with a rate of 1 no place kept its item, so a lower one cannot be judged")
    kept = tried.places - tried.drawn
    of_kept = (1.0 - rate) / (1.0 - logged) if logged < 1.0 else 1.0
    weight = (rate / logged) ** tried.drawn * of_kept**kept
    one = np.ones_like(weight)
    q_logged, q_target = _model(tried, rate)
    by_person = np.bincount(tried.person, weight)
    robust = q_target + weight * (tried.reward - q_logged)
    return RateValue(
        ips(tried.reward, weight, one, cluster=tried.person),
        snips(tried.reward, weight, one, cluster=tried.person),
        doubly_robust(tried.reward, weight, one, q_logged, q_target, cluster=tried.person),
        ips(robust - tried.reward, one, one, cluster=tried.person),
        float(by_person.sum()) ** 2 / max(float(by_person @ by_person), 1e-300),
        int(np.count_nonzero((tried.reward > 0.0) & (weight > 0.0))),
    )


def _model(tried: Tried, rate: float) -> tuple[F8, F8]:
    """(n,) expected reward of each unit as it was logged, and under `rate`."""
    most = int(tried.places.max())
    mean = np.full((most + 1, most + 1), float(tried.reward.mean()))
    seen, total = np.zeros_like(mean), np.zeros_like(mean)
    np.add.at(seen, (tried.places, tried.drawn), 1.0)
    np.add.at(total, (tried.places, tried.drawn), tried.reward)
    mean[seen > 0] = total[seen > 0] / seen[seen > 0]
    target = np.zeros(most + 1)
    for places in range(most + 1):
        # By how many would be drawn: Bernoulli trials, one after the other.
        chance = np.zeros(most + 1)
        chance[0] = 1.0
        for _ in range(places):
            chance = chance * (1.0 - rate) + np.roll(chance, 1) * rate
        target[places] = chance @ mean[places]
    return mean[tried.places, tried.drawn], target[tried.places]

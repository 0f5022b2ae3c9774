"""The value of a policy from events that another policy logged: the per-event forms of `models.credit.off_policy`.

For the audit on data of whole policies: rewards of any size, several actions, propensities of the target policy too. Papers:
Horvitz & Thompson 1952, Swaminathan & Joachims 2015, Dudík, Langford & Li 2011; on cut weights Ionides 2008 (JCGS 17).

What one person sees and does is no independent sample: lists of one user are alike, and one user clicks more than another. With
`cluster` standard errors are those of sums over people (Liang & Zeger 1986, Biometrika 73: the sandwich, with the factor
G / (G - 1) of G people); without it events count as independent, and intervals are too narrow wherever people differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.credit.off_policy import Z


class PolicyValue(NamedTuple):
    """Mean reward of the target policy, and how sure it is."""

    value: float
    standard_error: float
    effective: float
    """Events that a sample without weights would need for as much certainty (Kish 1965)."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, normal."""
        return self.value - Z * self.standard_error, self.value + Z * self.standard_error


def ips(
    reward: F8,
    target_probability: F8,
    logged_propensity: F8,
    weight_max: float = float("inf"),
    cluster: I8 | None = None,
) -> PolicyValue:
    """Inverse propensity scoring: the mean of w r, w = target / logged.

    Args:
        reward: (n,) of the logged action, n > 0.
        target_probability: (n,) with which the target policy takes the logged action; 0 or 1 if it is deterministic.
        logged_propensity: (n,) with which it was taken, > 0.
        weight_max: larger weights are cut to it, which biases downwards and tames the variance.
        cluster: (n,) whose events they are, from 0; at least two people.

    Raises:
        ValueError: no event, or a logged propensity that is not positive.
    """
    weight = weights(target_probability, logged_propensity, weight_max)
    return _mean(weight * reward, weight, cluster)


def snips(
    reward: F8,
    target_probability: F8,
    logged_propensity: F8,
    weight_max: float = float("inf"),
    cluster: I8 | None = None,
) -> PolicyValue:
    """Self-normalised: sum of w r over sum of w, standard error by the delta method. Arguments as `ips`; NaN without weight."""
    weight = weights(target_probability, logged_propensity, weight_max)
    total = float(weight.sum())
    if total == 0.0:
        return PolicyValue(float("nan"), float("nan"), 0.0)
    value = float(weight @ reward) / total
    error = _error(weight * (reward - value), cluster) / total
    return PolicyValue(value, error, _effective(weight))


def doubly_robust(
    reward: F8,
    target_probability: F8,
    logged_propensity: F8,
    q_of_logged: F8,
    q_of_target: F8,
    weight_max: float = float("inf"),
    cluster: I8 | None = None,
) -> PolicyValue:
    """The mean of q_target + w (r - q_logged).

    Args:
        reward, target_probability, logged_propensity, weight_max, cluster: as `ips`.
        q_of_logged: (n,) the reward that a model expects of the logged action.
        q_of_target: (n,) what it expects of the target policy: the mean over its actions.
    """
    weight = weights(target_probability, logged_propensity, weight_max)
    return _mean(q_of_target + weight * (reward - q_of_logged), weight, cluster)


def weights(target_probability: F8, logged_propensity: F8, weight_max: float = float("inf")) -> F8:
    """(n,) target / logged, at most `weight_max`.

    Raises:
        ValueError: no event, or a logged propensity that is not positive.
    """
    if not len(logged_propensity) or not np.all(logged_propensity > 0):
        raise ValueError("needs events, each with a logged propensity above 0")
    return np.minimum(target_probability / logged_propensity, weight_max)


def _mean(values: F8, weight: F8, cluster: I8 | None) -> PolicyValue:
    value = float(values.mean())
    return PolicyValue(value, _error(values - value, cluster) / len(values), _effective(weight))


def _error(deviation: F8, cluster: I8 | None) -> float:
    """Standard error of the sum of (n,) deviations from a mean."""
    if cluster is None:
        return float(np.sqrt(deviation @ deviation))
    sums = np.bincount(cluster, deviation)
    people = len(np.unique(cluster))
    if people < 2:
        return float("nan")
    return float(np.sqrt(sums @ sums * people / (people - 1)))


def _effective(weight: F8) -> float:
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0

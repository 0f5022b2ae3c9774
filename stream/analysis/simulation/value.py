"""What a candidate's explored places would have been clicked, from places that were drawn. Pure.

The probability with which an item was drawn stands in its record, and the one with which the candidate puts the same item at
the same place is asked of the candidate's own code, of the same state: so weights are exact, whatever the candidate changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.credit.policy_value import PolicyValue, ips, snips, weights
from stream.analysis.simulation.compare import Place

EFFECTIVE_MIN: Final = 50.0
"""Fewer effective people say nothing."""


def value_of(places: Sequence[Place], clicked: Sequence[bool]) -> dict[str, Any]:
    """Clicks per explored place that was seen: as logged and under the candidate, with 95 % intervals over people."""
    if not places:
        return {"places": 0}
    people = np.unique(np.array([place.user for place in places]), return_inverse=True)[1]
    logged, target = (np.array([place[at] for place in places]) for at in (1, 2))
    reward = np.array(clicked, float)
    weight = weights(target, logged)
    of_people = np.bincount(people, weight)
    squares = float(of_people @ of_people)
    effective = float(of_people.sum()) ** 2 / squares if squares else 0.0
    found: dict[str, Any] = {
        "places": len(places),
        "people": int(people.max()) + 1,
        "clicks": int(reward.sum()),
        "effective_people": effective,
        "mean_weight": float(weight.mean()),
    }
    if effective < EFFECTIVE_MIN:
        return found
    return found | {
        "logged": _told(ips(reward, logged, logged, cluster=people)),
        "ips": _told(ips(reward, target, logged, cluster=people)),
        "snips": _told(snips(reward, target, logged, cluster=people)),
    }


def _told(value: PolicyValue) -> dict[str, Any]:
    low, high = value.interval
    return {"value": value.value, "interval": [low, high]}

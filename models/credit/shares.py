"""How one outcome is divided among the recommendations before it: the five fixed rules, one outcome at a time.

The readable reference; `models.credit.compiled_shares` has what runs over many outcomes. Rules that learn from all paths are in
`models.credit.paths`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.vocabulary import RULES

FIRST_SHARE: Final = 0.4
LAST_SHARE: Final = 0.4
"""`position_based`: 40 % to the first, 40 % to the last, 20 % evenly to those between; two share evenly."""


def shares(rule: str, touch_ms: NDArray[np.int64], outcome_ms: int, half_life_ms: int) -> F8:
    """(t,) Shares that sum to 1; empty without touches.

    Args:
        rule: one of `RULES`.
        touch_ms: (t,) when each was shown, in order of time, ms.
        outcome_ms: when the outcome came; a touch after it counts as of that moment.
        half_life_ms: `time_decay`: a touch that much older earns half as much, > 0.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"no rule {rule!r}; there are {', '.join(RULES)}")
    t = len(touch_ms)
    found = np.zeros(t)
    if not t:
        return found
    if rule == "last_touch":
        found[-1] = 1.0
    elif rule == "first_touch":
        found[0] = 1.0
    elif rule == "linear":
        found[:] = 1.0 / t
    elif rule == "position_based":
        found[:] = _by_position(t)
    else:
        found[:] = _by_age(np.maximum(outcome_ms - touch_ms, 0), half_life_ms)
    return found


def _by_position(t: int) -> F8:
    if t <= 2:
        return np.full(t, 1.0 / t)
    found = np.full(t, (1.0 - FIRST_SHARE - LAST_SHARE) / (t - 2))
    found[0], found[-1] = FIRST_SHARE, LAST_SHARE
    return found


def _by_age(age_ms: NDArray[np.int64], half_life_ms: int) -> F8:
    # Relative to the youngest, whose weight is 1: very old touches alone must not all vanish.
    weight: F8 = np.exp2(-(age_ms - age_ms.min()) / half_life_ms)
    weight /= weight.sum()
    return weight

"""How one outcome is divided among the touches that preceded it: the share of each, by one of five rules.

The rules are those of multi-touch attribution as the field knows them (Shao & Li 2011, "Data-driven Multi-touch Attribution
Models", section 2, describes the heuristic ones). `models.credit.shares` has the same in plain NumPy, for reports.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, compiled_part
from models.vocabulary import FIRST_TOUCH, LINEAR, POSITION_BASED, TIME_DECAY

ENDS_SHARE = 0.4
"""`POSITION_BASED`: what the first and the last touch get each; those between share the rest."""


@compiled_part
def _fill(shares: NDArray[np.float64], value: float) -> None:
    for i in range(len(shares)):
        shares[i] = value


@compiled
def divide(rule: int, touch_ms: NDArray[np.int64], half_life_ms: float) -> NDArray[np.float64]:
    """(t,) float64 shares of touches at (t,) int64 times in ms, in their order; they sum to 1 (to rounding).

    `half_life_ms` is for `TIME_DECAY`: a touch so much earlier than the last one counts half as much.
    """
    t = len(touch_ms)
    shares = np.zeros(t)
    if t == 0:
        return shares
    if rule == FIRST_TOUCH:
        shares[0] = 1.0
    elif rule == LINEAR:
        _fill(shares, 1.0 / t)
    elif rule == POSITION_BASED:
        if t <= 2:
            _fill(shares, 1.0 / t)
        else:
            _fill(shares, (1.0 - 2.0 * ENDS_SHARE) / (t - 2))
            shares[0] = shares[t - 1] = ENDS_SHARE
    elif rule == TIME_DECAY:
        newest = touch_ms[0]  # counted from the newest touch: else all would vanish for an outcome long after
        for i in range(1, t):
            newest = max(newest, touch_ms[i])
        total = 0.0
        for i in range(t):
            shares[i] = 2.0 ** ((touch_ms[i] - newest) / half_life_ms)
            total += shares[i]
        for i in range(t):
            shares[i] /= total
    else:
        shares[t - 1] = 1.0
    return shares

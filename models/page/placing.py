"""What rules mean for the places of a list, as arrays by dense index; and why a place is as it is, as codes."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8

NOT_MOVED, BY_DIVERSITY, BY_FATIGUE, BY_EXPLORE, BY_RULES = 0, 1, 2, 3, 4
"""Why an item stands where it does and not where its score alone would put it. From `BY_RULES` on it is a rule: its number in
`Placing` and `BY_RULES`."""

GROUPS: Final = 4
"""Groups of an item that caps count, at most."""

NO_RULE: Final = -1


class Placing(NamedTuple):
    """What r rules, numbered from 0, say of n items by dense index; an item beyond an array has nothing said of it."""

    boost: F4
    """(n,) added to the score."""
    boosted_by: NDArray[np.int16]
    """(n,) the rule that adds or takes most, -1 = none."""
    groups: I4
    """(n, GROUPS) groups of each item that are capped, -1 pads."""
    cap: I8
    """(g,) most items of each group."""
    capped_by: NDArray[np.int16]
    """(g,) the rule of each."""
    promoted: NDArray[np.int16]
    """(n,) the rule that promotes the item, -1 = none."""
    least: I8
    """(r,) places that a promoting rule has at least; 0 of every other rule."""
    pin_place: I8
    """(p,) places from 0, ascending and distinct."""
    pin_item: I4
    """(p,) what stands there, if it may be listed; -1 = nothing."""
    pin_rule: I8
    """(p,)."""


def no_placing() -> Placing:
    """No rules."""
    numbers, codes = np.zeros(0, np.int64), np.zeros(0, np.int16)
    return Placing(
        np.zeros(0, np.float32), codes, np.zeros((0, GROUPS), np.int32), numbers, codes, codes, numbers, numbers,
        np.zeros(0, np.int32), numbers,
    )  # fmt: skip

"""Clicks of places that something moved, beside those of the same places where nothing did.

A moved exposure in slot s is compared with the click rate of unmoved exposures in slot s, so position bias is in neither. The
difference is a mean over moved exposures, with people as the unit of its standard error (`models.credit.policy_value`); that
rates of unmoved places are estimates, too, is not in it. It is no experiment: whom a rule moves something for may click
otherwise anyway.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.credit.policy_value import PolicyValue, ips


class Moved(NamedTuple):
    """Of one thing that moves."""

    exposures: int
    clicks: int
    purchases: int
    rate: float
    """Clicks per exposure."""
    unmoved_rate: float
    """Of unmoved exposures in the same slots; NaN where there are none."""
    difference: PolicyValue | None
    """`rate` less that; None where it cannot be said."""


def moved_beside_unmoved(moved: I8, slot: I8, clicked: F8, bought: F8, person: I8) -> dict[int, Moved]:
    """By what moved them.

    Args:
        moved: (n,) what moved each exposure; 0 = nothing.
        slot: (n,) from 1.
        clicked, bought: (n,) 0 or 1.
        person: (n,) who saw it.
    """
    slots = int(slot.max(initial=0)) + 1
    still = moved == 0
    shown = np.bincount(slot[still], minlength=slots)
    clicks = np.bincount(slot[still], clicked[still], minlength=slots)
    found = {}
    for what in np.unique(moved[~still]).tolist():
        mine = moved == what
        rate = float(clicked[mine].mean())
        compared = mine & (shown[slot] > 0)
        unmoved, difference = float("nan"), None
        if compared.any():
            beside = clicks[slot[compared]] / shown[slot[compared]]
            unmoved = float(beside.mean())
            ones = np.ones(int(compared.sum()))
            people = np.unique(person[compared], return_inverse=True)[1]
            if people.max() > 0:
                difference = ips(clicked[compared] - beside, ones, ones, cluster=people)
        found[what] = Moved(
            int(mine.sum()), int(clicked[mine].sum()), int(bought[mine].sum()), rate, unmoved, difference
        )
    return found

"""What may be said of an item to anybody: facts that statistics prove, not parts of a score.

A trend is a sum of exp(-age / tau) over engagements, so of those older than W each adds at most e^(-W/tau + W/tau') times as
much to it as to a slower one. What is left after taking that off can only come from younger ones, each adding at most 1: the
rest is a lower bound of how many there were within W.

Whoever is told may be one of those who are counted, so `others_min` others are more than so many people. With a few, such
a sentence would say what somebody did whom the reader may know.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_MS
from models.items.record import NEVER_MS, TREND_DAYS
from models.items.rows import TREND_MS
from models.items.stats import ItemStatistics

NEW_BELOW = 5
"""An item with fewer engagements than this is new."""

NEW: Final = 1
"""Hardly anybody engaged with it, and nobody longer ago than `NEW_MS`."""
THIS_WEEK: Final = 2
"""At least `FEW` engagements in the last seven days, by so many others."""
LATELY: Final = 4
"""By at least so many others in the last sixty days; by anybody where none are asked for."""
MANY_PEOPLE: Final = 8
"""At least `MANY` ever, by so many others."""
SOMEBODY: Final = 16
"""By at least so many others ever; by anybody where none are asked for."""
ALL_FACTS: Final = NEW | THIS_WEEK | LATELY | MANY_PEOPLE | SOMEBODY

FEW, MANY = 3.0, 20.0
NEW_MS: Final = 30 * DAY_MS
WEEK_MS, SIXTY_DAYS_MS = 7 * DAY_MS, 60 * DAY_MS
_DAY, _WEEK = TREND_DAYS.index(1.0), TREND_DAYS.index(7.0)


def item_facts(items: NDArray[np.int32], stats: ItemStatistics, now_ms: int, others_min: int = 0) -> NDArray[np.uint8]:
    """Facts of `items` (any shape, dense indices; -1 has none), as bits, at `now_ms` in event time.

    What is told of others is a fact of an item only where there were at least `others_min` of them.
    """
    if not len(stats.count):
        return np.zeros(items.shape, np.uint8)
    at = np.maximum(items, 0)
    count, first_ms = stats.count[at], stats.first_seen_ms[at]
    since_ms = np.maximum(now_ms - stats.trend_ms[at], 0)[..., None]
    trend = stats.trend[at] * np.exp(-since_ms / np.array(TREND_MS))
    is_new = (count < NEW_BELOW) & ((first_ms == NEVER_MS) | (now_ms - first_ms <= NEW_MS))
    facts = (
        np.where(is_new, NEW, 0)
        | np.where(_at_least(trend, _DAY, WEEK_MS) >= max(FEW, others_min + 1), THIS_WEEK, 0)
        | np.where(_at_least(trend, _WEEK, SIXTY_DAYS_MS) > others_min, LATELY, 0)
        | np.where(count >= max(MANY, others_min + 1), MANY_PEOPLE, 0)
        | np.where(count > others_min, SOMEBODY, 0)
    )
    return np.where(items >= 0, facts, 0).astype(np.uint8)


def _at_least(trend: NDArray[np.float64], fast: int, window_ms: int) -> NDArray[np.float64]:
    """A lower bound of the engagements within the window, by trend `fast` and the next slower one."""
    older = np.exp(window_ms / TREND_MS[fast + 1] - window_ms / TREND_MS[fast])
    bound: NDArray[np.float64] = trend[..., fast] - older * trend[..., fast + 1]
    return bound

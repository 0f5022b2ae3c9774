"""Places that are given to items of which little is known, with the exact probability of what stands there.

Each explored place has a pool of its own: what is eligible is dealt out over the places in the order of its worth, so draws
of different places do not depend on each other and no item can be drawn twice. A place takes, with probability `1 - rate`, the
item that would stand there anyway; else item j of its pool with probability

    p(j) = (1 - e) exp((score(j) + bonus(j)) / temperature) / sum over the pool + e / m
    bonus(j) = optimism / sqrt(1 + evidence(j))

(Boltzmann exploration with an optimism that fades with evidence, as in UCB: Auer et al., Machine Learning 2002; the share e is
spread evenly, which bounds the weights of off-policy estimates: of m items none has less than rate * e / m). So the
propensity of what stands there is rate * p(j), or 1 - rate for the item that would stand there anyway: of both, none can be
reached in the other way, and it is known in closed form. The other places do not depend on the draws: their propensity is 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled_part
from models.page.draws import uniform
from models.page.placing import BY_EXPLORE

POOL_MAX = 16
"""Eligible items of a list that are drawn from at most."""

EVEN_SHARE = 0.1
"""e above."""


class ExploreParams(NamedTuple):
    """How a placement explores."""

    slots: int = 0
    """Places; 0 = none."""
    from_place: int = 4
    """The first of them, from 1."""
    rate: float = 1.0
    """Probability that such a place is drawn, not given to the best item."""
    temperature: float = 1.0
    optimism: float = 2.0
    max_exposures: int = 100
    """Items with fewer are eligible ..."""
    max_age_h: float = 48.0
    """... and those that came last within so many hours."""
    min_history: int = 5
    """Of people with fewer items nobody's list is explored upon."""


def explored_places(params: ExploreParams, slots: int) -> tuple[int, ...]:
    """Places from 0 of a list of so many, evenly spread from `from_place` on; none where they do not fit."""
    room = slots - (params.from_place - 1)
    n = min(params.slots, max(room, 0))
    return tuple(params.from_place - 1 + (i * room) // n for i in range(n))


@compiled_part
def draw(key: np.uint64, counter: int, worth: F8, pool: I8, rate: float, temperature: float) -> tuple[int, float]:
    """Which of a place's pool stands there, -1 = the item that would anyway; and the probability of that outcome.

    Args:
        key, counter: of the draws, see `models.page.draws`; two numbers are used.
        worth: (P,) score and bonus of the items that `pool` (m,) names.
        rate, temperature: as of `ExploreParams`; temperature > 0.
    """
    if len(pool) == 0 or rate <= 0.0:
        return -1, 1.0
    if uniform(key, 2 * counter) >= rate:
        return -1, 1.0 - rate
    best = worth[pool[0]]
    for i in pool:
        best = max(best, worth[i])
    total = 0.0
    for i in pool:
        total += np.exp((worth[i] - best) / temperature)
    point, passed, taken, chance = uniform(key, 2 * counter + 1), 0.0, pool[0], 1.0
    for i in pool:
        taken = i
        chance = (1.0 - EVEN_SHARE) * np.exp((worth[i] - best) / temperature) / total + EVEN_SHARE / len(pool)
        passed += chance
        if passed > point:
            break
    return taken, rate * chance


@compiled_part
def probability_of(asked: int, kept: int, eligible: I4, worth: F8, pool: I8, rate: float, temperature: float) -> float:
    """With which the item `asked` stands at a place whose pool is `pool` (m,) and that keeps the item `kept` otherwise."""
    if len(pool) == 0 or rate <= 0.0:
        return 1.0 if asked == kept else 0.0
    if asked == kept:
        return 1.0 - rate
    best, total, found = worth[pool[0]], 0.0, -1
    for i in pool:
        best = max(best, worth[i])
        found = i if eligible[i] == asked else found
    if found < 0:
        return 0.0
    for i in pool:
        total += np.exp((worth[i] - best) / temperature)
    chance = (1.0 - EVEN_SHARE) * np.exp((worth[found] - best) / temperature) / total + EVEN_SHARE / len(pool)
    return float(rate * chance)


@compiled_part
def explore(
    out: I4, moved_by: NDArray[np.int16], propensity: F4, fixed: NDArray[np.bool_], explored: I8, eligible: I4,
    worth: F8, key: np.uint64, rate: float, temperature: float, asked: I4, of_asked: F4,
) -> None:  # fmt: skip
    """Draw the places that explore and that no rule has filled.

    Args:
        out, moved_by, propensity: (slots,) the list; changed.
        fixed: (slots,) places of pins and promotions.
        explored: places from 0, as `explored_places` says.
        eligible, worth: (E,) what may be drawn, best first, -1 pads; items of the list are passed over.
        key, rate, temperature: as in `draw`; the counter is the place.
        asked, of_asked: (slots,) an item each, and, changed where a place explores, the probability that it stands there; or
            (0,): nobody asks.
    """
    pool, m = np.empty((len(explored), POOL_MAX), np.int64), np.zeros(len(explored), np.int64)
    free = np.empty(len(explored), np.int64)
    places = 0
    for at in explored:
        if at < len(out) and out[at] >= 0 and not fixed[at]:
            free[places] = at
            places += 1
    if places == 0:
        return
    dealt = 0
    for e in range(len(eligible)):
        if eligible[e] < 0 or dealt >= POOL_MAX:
            break
        is_listed = False
        for j in out:
            is_listed = is_listed or j == eligible[e]
        if is_listed:
            continue
        pool[dealt % places, m[dealt % places]] = e
        m[dealt % places] += 1
        dealt += 1
    for s in range(places):
        if len(asked):
            of_asked[free[s]] = probability_of(
                asked[free[s]], out[free[s]], eligible, worth, pool[s, : m[s]], rate, temperature
            )
        taken, chance = draw(key, free[s], worth, pool[s, : m[s]], rate, temperature)
        propensity[free[s]] = chance
        if taken >= 0:
            out[free[s]], moved_by[free[s]] = eligible[taken], BY_EXPLORE

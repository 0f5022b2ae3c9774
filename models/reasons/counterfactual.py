"""The smallest set of a person's own items without which another item would lead their list.

The definition is that of PRINCE (Ghazimatin et al., WSDM 2020) and ACCENT (Tran et al., SIGIR 2021). As there, the search
takes, for each rival, the items first that help the leader most and the rival least; unlike there it trusts no estimate:
every set is ranked again without its items, and small sizes are searched completely as far as a budget of rankings allows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.index import NO_INDEX
from models.ranking.rank import RankedBatch

Sets = list[tuple[int, ...]]
Leads = Callable[[Sets], NDArray[np.int32]]
"""For sets of places to take out: the (n,) dense indices of what leads each list then, -1 for an empty list."""

BUDGET = 2_000
"""Rankings that a search may ask for."""

_AT_ONCE = 256


class Counterfactual(NamedTuple):
    """Without these places of the history another item leads."""

    removed: tuple[int, ...]
    """Ascending places of the history."""
    leader: int
    """Dense index of what leads now."""
    replacement: int
    """Dense index of what would lead, -1 if the list were empty."""
    verified: bool
    """The list was ranked again, without exactly these places, and says so."""
    exact: bool
    """Every smaller set was tried and changes nothing."""


def counterfactual(
    ranked: RankedBatch, places: NDArray[np.int64], leads: Leads, budget: int = BUDGET
) -> Counterfactual | None:
    """Of the first user of a ranked batch; None if no set that was tried changes the leader.

    Args:
        ranked: the list as it is, with the rivals to look at.
        places: (p,) int64: places of the history that may be taken out.
        leads: ranks again.
        budget: rankings at most, but for those that follow the order of the contributions (at most one per rival and size).
    """
    leader = int(ranked.items[0, 0])
    if leader == NO_INDEX or not len(places):
        return None
    candidates = places.tolist()
    searched = 0
    for size in range(1, len(candidates) + 1):
        sets = comb(len(candidates), size)
        if size > 1 and sets > budget:
            break
        budget -= sets
        found = _first_that_changes(list(combinations(candidates, size)), leader, leads)
        searched = size
        if found is not None:
            return _verified(found, leader, leads, exact=True)
        if size == len(candidates):
            return None
    chosen = _greedy(ranked, places, leader, leads, searched + 1)
    if chosen is None:
        return None
    chosen = _smaller(chosen, leader, leads)
    return _verified(chosen, leader, leads, exact=len(chosen) == searched + 1)


def _first_that_changes(sets: Sets, leader: int, leads: Leads) -> tuple[int, ...] | None:
    for start in range(0, len(sets), _AT_ONCE):
        some = sets[start : start + _AT_ONCE]
        changed = np.flatnonzero(leads(some) != leader)
        if len(changed):
            return some[int(changed[0])]
    return None


def _greedy(
    ranked: RankedBatch, places: NDArray[np.int64], leader: int, leads: Leads, least: int
) -> tuple[int, ...] | None:
    """The smallest set among those that help the leader most compared with one rival, of `least` or more places."""
    lead = ranked.contributions[0, 0, places]
    rivals = ranked.contributions[0, 1:, places].T  # NumPy puts the indexed axis first: (p, k - 1)
    there = ranked.items[0, 1:] != NO_INDEX
    gaps = np.vstack([lead[None, :] - rivals[there], lead[None, :]])  # the last: against what is not listed yet
    orders = [tuple(places[order].tolist()) for order in np.argsort(-gaps, axis=1, kind="stable")]
    for size in range(least, len(places) + 1):
        prefixes = list(dict.fromkeys(tuple(sorted(order[:size])) for order in orders))
        found = _first_that_changes(prefixes, leader, leads)
        if found is not None:
            return found
    return None


def _smaller(chosen: tuple[int, ...], leader: int, leads: Leads) -> tuple[int, ...]:
    """Without the places that are not needed, one after another."""
    while len(chosen) > 1:
        fewer = [chosen[:n] + chosen[n + 1 :] for n in range(len(chosen))]
        found = _first_that_changes(fewer, leader, leads)
        if found is None:
            break
        chosen = found
    return chosen


def _verified(chosen: tuple[int, ...], leader: int, leads: Leads, *, exact: bool) -> Counterfactual:
    replacement = int(leads([chosen])[0])
    return Counterfactual(tuple(sorted(chosen)), leader, replacement, replacement != leader, exact)

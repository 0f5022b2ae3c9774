"""What groups of items and single items are shown, and what they would be if lists were as good as can be. Pure.

Sums by person, so that intervals can be drawn over people; an item that was taken while a list was there was relevant to it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.evaluation.fairness import examined, target_exposure
from stream.analysis.fairness.item_groups import ItemGroups
from stream.analysis.fairness.tables import NO_LIST, Tables

_LISTS_AT_ONCE: Final = 20_000


class GroupExposure(NamedTuple):
    """By person and group, (u, g) each."""

    shown: F8
    """Of all lists."""
    answered: F8
    """Of lists while which the person took something."""
    deserved: F8
    """Of the same lists, if what was taken stood at their top."""


def group_exposure(found: Tables, groups: ItemGroups, patience: float) -> GroupExposure:
    """Sums over lists, each of which counts alike."""
    people, g = len(found.people), len(groups.names)
    relevant = _relevant(found)
    shown, answered = np.zeros((people, g)), np.zeros((people, g))
    weights = examined(found.listed.shape[1], patience)
    for begin in range(0, len(found.listed), _LISTS_AT_ONCE):
        some = slice(begin, begin + _LISTS_AT_ONCE)
        listed, user = found.listed[some], found.list_user[some]
        member = groups.of(listed, np.broadcast_to(found.list_ms[some][:, None], listed.shape))
        of_list = np.einsum("lpg,lp->lg", member, np.where(listed >= 0, weights, 0.0))
        np.add.at(shown, user, of_list)
        has = relevant[some] > 0
        np.add.at(answered, user[has], of_list[has])
    deserved = np.zeros((people, g))
    known = found.taken_list != NO_LIST
    at = found.taken_list[known]
    member = groups.of(found.taken_item[known], found.list_ms[at])
    np.add.at(deserved, found.list_user[at], member * target_exposure(relevant[at], patience)[:, None])
    return GroupExposure(shown, answered, deserved)


def item_exposure(found: Tables, patience: float, lists: slice | I8 = slice(None)) -> F8:
    """(n,) exposure of each item in these lists."""
    listed = found.listed[lists]
    weights = np.broadcast_to(examined(found.listed.shape[1], patience), listed.shape)
    real = listed >= 0
    return np.bincount(listed[real], weights=weights[real], minlength=len(found.items)).astype(np.float64)


def could_be_listed(found: Tables) -> I8:
    """Rows of the items of the catalogue that are available; of those that were listed where there is no catalogue."""
    rows = [row for row, item in enumerate(found.items) if item is not None and item.available]
    return np.array(rows, np.int64) if rows else np.unique(found.listed[found.listed >= 0]).astype(np.int64)


def _relevant(found: Tables) -> I8:
    """(l,) how many items were taken while each list was there."""
    return np.bincount(found.taken_list[found.taken_list != NO_LIST], minlength=len(found.listed))

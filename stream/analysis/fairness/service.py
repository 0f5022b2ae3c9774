"""How well lists serve people: what they find, how popular it is beside what people take, how its kinds are mixed. Pure.

Sums by person and group, so that intervals can be drawn over people.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.evaluation.fairness import calibration_kl, examined
from stream.analysis.fairness.item_groups import categories_of
from stream.analysis.fairness.tables import NO_LIST, Tables
from stream.analysis.fairness.user_groups import UserGroups

K: Final = 10
"""Places that count."""

KINDS_MAX: Final = 64
"""Categories told apart for calibration, the largest; all others are one."""


class Service(NamedTuple):
    """By person and group, (u, g) each."""

    choices: F8
    """What was taken while a list was there."""
    ndcg: F8
    """Sums of NDCG@10 of those."""
    hits: F8
    people: F8
    """1 where history and lists of the person are known."""
    listed_popularity: F8
    """Mean over the places of the person's lists."""
    taken_popularity: F8
    """Mean over what the person took until the last list."""
    calibrated: F8
    """1 where `divergence` is known."""
    divergence: F8
    """Kullback-Leibler, of the categories of lists from those of what was taken."""
    divergence_of_mean: F8
    """The same if each person had the categories of all lists together: what lists for nobody in particular would have."""


class OfPeople(NamedTuple):
    """Of each person, (u,); NaN where it is not known."""

    listed_popularity: F8
    taken_popularity: F8
    divergence: F8
    divergence_of_mean: F8


def of_people(found: Tables, patience: float) -> OfPeople:
    """Popularity of an item: the share of people who took it, of those who have a list."""
    popularity = found.takers / max(1, len(found.people))
    real = found.listed[:, :K] >= 0
    user = np.broadcast_to(found.list_user[:, None], real.shape)[real]
    known = _known_by_last_list(found)
    taken_user, taken_item = found.taken_user[known], found.taken_item[known]
    listed, taken = (
        _means(owner, popularity[item], len(found.people))
        for owner, item in ((user, found.listed[:, :K][real]), (taken_user, taken_item))
    )
    wanted, shown = _categories(found, known, patience)
    divergence = calibration_kl(wanted, shown)
    together = np.broadcast_to(shown.sum(axis=0), shown.shape)
    of_mean = np.where(np.isnan(divergence), np.nan, calibration_kl(wanted, together))
    return OfPeople(listed, taken, divergence, of_mean)


def service(found: Tables, groups: UserGroups, each: OfPeople) -> Service:
    """Of groups of people."""
    shape = len(found.people), len(groups.names)
    choices, ndcg, hits = (np.zeros(shape) for _ in range(3))
    known = found.taken_list != NO_LIST
    at = found.taken_user[known], groups.of_taken[known]
    lists = found.listed[found.taken_list[known], :K] == found.taken_item[known][:, None]
    for sums, of_choice in (
        (choices, np.ones(len(lists))),
        (ndcg, (lists / np.log2(2.0 + np.arange(lists.shape[1]))).sum(axis=1)),
        (hits, lists.any(axis=1).astype(np.float64)),
    ):
        np.add.at(sums, at, of_choice)
    own = np.zeros(shape)
    own[np.arange(shape[0]), groups.of_user] = 1.0
    has = own * (np.isfinite(each.listed_popularity) & np.isfinite(each.taken_popularity))[:, None]
    calibrated = own * np.isfinite(each.divergence)[:, None]
    return Service(
        choices,
        ndcg,
        hits,
        has,
        has * np.nan_to_num(each.listed_popularity)[:, None],
        has * np.nan_to_num(each.taken_popularity)[:, None],
        calibrated,
        calibrated * np.nan_to_num(each.divergence)[:, None],
        calibrated * np.nan_to_num(each.divergence_of_mean)[:, None],
    )


def _known_by_last_list(found: Tables) -> NDArray[np.bool_]:
    """(e,) bool: engagements that some list of the person knows."""
    last_ms = np.zeros(len(found.people), np.int64)
    np.maximum.at(last_ms, found.list_user, found.list_ms)
    known: NDArray[np.bool_] = found.taken_ms <= last_ms[found.taken_user]
    return known


def _categories(found: Tables, known: NDArray[np.bool_], patience: float) -> tuple[F8, F8]:
    """(u, c) each: categories of what a person took, and of their lists, where upper places count more."""
    names, row, category = categories_of(found.items)
    largest = np.argsort(-np.bincount(category, minlength=len(names)), kind="stable")
    kind = np.empty(len(names), np.int64)
    kind[largest] = np.minimum(np.arange(len(names)), KINDS_MAX)
    names = names[: KINDS_MAX + 1]
    share = np.zeros((len(found.items), len(names)), np.float32)
    np.add.at(share, (row, kind[category]), 1.0)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    wanted, shown = np.zeros((len(found.people), len(names))), np.zeros((len(found.people), len(names)))
    np.add.at(wanted, found.taken_user[known], share[found.taken_item[known]])
    for place, weight in enumerate(examined(min(K, found.listed.shape[1]), patience).tolist()):
        real = found.listed[:, place] >= 0
        np.add.at(shown, found.list_user[real], weight * share[found.listed[real, place]])
    return wanted, shown


def _means(owner: I8, values: F8, people: int) -> F8:
    with np.errstate(invalid="ignore"):
        found: F8 = np.bincount(owner, weights=values, minlength=people) / np.bincount(owner, minlength=people)
    return found

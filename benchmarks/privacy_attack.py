"""Membership inference: did this person take part? AUC of two attackers, .5 = they cannot tell, 1 = they always can.

**Knows all but one.** What the definition of differential privacy is about: the attacker has everybody else's data, all that
the target did, the bounds, which of it counts, and the noise's size. Their best score is the likelihood ratio: the told
integers less what the others add, along what the target would add (Neyman and Pearson). Without noise it is always right.

**Reads lists.** Somebody who knows all that the target did, and reads the neighbours that are published of every item: the
share of the target's own pairs of items that are published. Half of the targets took part, half were taken out before anything
was counted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.privacy.contribution import Counted, Engagements, PublicPairs, counted
from models.privacy.noise import noised
from models.privacy.records import PAIRS_TIMES
from models.privacy.release import Budget, Series, of_release

TARGETS: Final = 400


class World(NamedTuple):
    """Who did what."""

    engagements: Engagements
    pairs: PublicPairs
    """That may be counted under differential privacy."""
    n_items: int


class Auc(NamedTuple):
    """Of one attacker."""

    auc: float
    error: float
    """Standard error (Hanley and McNeil, 1982)."""


def knows_all_but_one(world: World, budget: Budget, targets: I8, rng: np.random.Generator) -> Auc:
    """Every second target took part."""
    found = counted(world.engagements, world.pairs, world.n_items, budget.contribution)
    order = rng.permutation(targets)
    scores = np.array([_ratio(added, budget, at % 2 == 0) for at, added in enumerate(_added(found, budget, order))])
    took_part = np.arange(len(order)) % 2 == 0
    return auc(scores[took_part], scores[~took_part])


def reads_lists(world: World, budget: Budget | None, targets: I8, rng: np.random.Generator) -> Auc:
    """`budget` None: every pair of everybody within the window is published as it is, which is what a worker ranks with."""
    order = rng.permutation(targets)
    inside, outside = order[: len(order) // 2], order[len(order) // 2 :]
    left = _without(world.engagements, outside)
    own = _pairs_of(world)
    published = _every_pair(own, outside) if budget is None else _released_pairs(world, left, budget)
    shares = {int(user): _share(own, int(user), published) for user in order}
    scores = [np.array([shares[int(user)] for user in group]) for group in (inside, outside)]
    return auc(*(group[~np.isnan(group)] for group in scores))


def auc(inside: F8, outside: F8) -> Auc:
    """That one who took part has the higher score; ties count half."""
    above = (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
    a, n, m = float(above), len(inside), len(outside)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m)
    return Auc(a, float(np.sqrt(max(variance, 0.0))))


def _added(found: Counted, budget: Budget, users: I8) -> list[NDArray[np.int64]]:
    """What each of these users adds to the integers of all releases that it changes, one array each."""
    by_item = _series_of(found.items_user, found.items, found.items_release, budget.items.coefficients, users)
    by_pair = _series_of(found.pairs_user, found.pairs, found.pairs_release, budget.pairs.coefficients, users)
    return [np.concatenate(both) for both in zip(by_item, by_pair, strict=True)]


def _series_of(user: I8, what: I8, release: I8, coefficients: I8, users: I8) -> list[NDArray[np.int64]]:
    order = np.argsort(user, kind="stable")
    starts, ends = (np.searchsorted(user[order], users, side=side) for side in ("left", "right"))
    added = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        at = release[order[start:end]].tolist()
        added.append(np.concatenate([np.zeros(0, np.int64), *(coefficients[: len(coefficients) - r] for r in at)]))
    assert len(what) == len(user), "one entry each"
    return added


def _ratio(added: NDArray[np.int64], budget: Budget, took_part: bool) -> float:
    """The attacker's score; what the others add is known, and so taken off."""
    told = added * int(took_part)
    told = noised(told, budget.scale) if budget.scale > 0.0 else told
    length = float(np.sqrt((added.astype(np.float64) ** 2).sum()))
    return float(told @ added) / max(length, 1.0) - length / 2.0


class _OwnPairs(NamedTuple):
    """Every pair of items of a user within the window, by user ascending; (p,) each."""

    user: I8
    code: I8


def _pairs_of(world: World) -> _OwnPairs:
    user, item, _ = world.engagements
    order = np.argsort(user, kind="stable")
    user, item = user[order], item[order]
    users, codes = [], []
    for back in range(1, 17):
        at = np.flatnonzero(user[back:] == user[:-back]) + back
        one, other = item[at], item[at - back]
        users.append(user[at])
        codes.append(np.minimum(one, other) * world.n_items + np.maximum(one, other))
    together = np.concatenate(users), np.concatenate(codes)
    order = np.argsort(together[0], kind="stable")
    return _OwnPairs(together[0][order], together[1][order])


def _without(engagements: Engagements, users: I8) -> Engagements:
    stay = ~np.isin(engagements.user, users)
    return Engagements(*(column[stay] for column in engagements))


def _every_pair(own: _OwnPairs, outside: I8) -> I8:
    return np.unique(own.code[~np.isin(own.user, outside)])


def _released_pairs(world: World, engagements: Engagements, budget: Budget) -> I8:
    found = counted(engagements, world.pairs, world.n_items, budget.contribution)
    series = Series(len(world.pairs.first), budget.pairs, budget.scale)
    for release in range(budget.releases):
        series.release(of_release(found.pairs, found.pairs_release, release, len(world.pairs.first)))
    told = series.total().above_noise(PAIRS_TIMES) > 0.0
    return world.pairs.first[told] * world.n_items + world.pairs.second[told]


def _share(own: _OwnPairs, user: int, published: I8) -> float:
    start, end = np.searchsorted(own.user, user, side="left"), np.searchsorted(own.user, user, side="right")
    codes = own.code[start:end]
    if not len(codes) or not len(published):
        return 0.0 if len(codes) else float("nan")
    at = np.minimum(
        np.searchsorted(published, codes), len(published) - 1
    )  # ascending: `PublicPairs` are, as is what is unique
    return float((published[at] == codes).mean())

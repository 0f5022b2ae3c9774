"""Features and scores of every item for one user: what an evaluation asks, where a list needs a few hundred candidates.

`models.ranking.features` fills one item's row after another, which for a few hundred candidates is fast. For a whole catalogue
most of the time goes into logarithms that a compiled loop takes one by one and NumPy takes eight at a time; so here each
feature is a column. Same formulas, same values up to the last bits of a logarithm: a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I4, I8
from models.calendar import HOUR_MS
from models.compiled import compiled
from models.items.categories import NO_SHARES, CategoryShares
from models.items.facts import NEW_BELOW
from models.items.record import MOMENT_SMOOTHING, MOMENT_STARTS, NEVER_MS
from models.items.rows import ENTRY_MS, TREND_MS, TREND_UNIT
from models.ranking.affinity import affinities
from models.ranking.candidates import Proposed, gather
from models.ranking.features import (
    AGE,
    CATEGORY,
    CONTEXT,
    ENTRY,
    FEATURES,
    NEAR_UNIT,
    POPULARITY,
    SCALES,
    SEQUENCE,
    TEXT,
    TREND,
    ItemArrays,
    Question,
)
from models.ranking.rank import SequenceScores, weights_of
from models.ranking.semantics import Semantics
from models.ranking.weights import RankingWeights


class Everything(NamedTuple):
    """All n items for one user."""

    features: F8
    """(F, n) float64."""
    touched: I4
    """(t,) int32: neighbours of the history that may be listed, in the order in which they were met."""
    open: NDArray[np.bool_]
    """(n,) bool: what may be listed, without `question.excluded`."""

    @property
    def candidates(self) -> I4:
        """(c,) int32: what is open, neighbours first: the order of `models.ranking.candidates.gather`."""
        others = self.open.copy()
        others[self.touched] = False
        return np.concatenate((self.touched, np.flatnonzero(others).astype(np.int32)))


def everything(
    question: Question,
    items: ItemArrays,
    moment_shares: F8,
    semantics: Semantics | None = None,
    sequence: SequenceScores | None = None,
    categories: CategoryShares = NO_SHARES,
) -> Everything:
    """What `models.ranking.rank.features_of` says of `full_scope`, of one user.

    Args:
        question: of one user.
        items: as `models.ranking.features.items_of` gives them.
        moment_shares: `Priors.moment_shares`.
        semantics, sequence: of the same user; None where there is none.
        categories: `Priors.categories`.
    """
    n = len(items.count)
    nobody = np.empty((1, 0), np.int32)
    found = gather(question, items, Proposed(nobody[0], nobody, nobody, nobody.astype(np.float32)), n)
    open_ = items.recommendable.copy()
    excluded = question.excluded[0]
    open_[excluded[(excluded >= 0) & (excluded < n)]] = False
    x = np.zeros((len(FEATURES), n))
    for s in range(len(SCALES)):
        near = found.near[:, s]
        x[s, found.item] = np.copysign(np.log1p(np.abs(near) / NEAR_UNIT), near)
    if semantics is not None:
        x[TEXT : TEXT + 2] = semantics.scores(np.array([0, n]), np.arange(n, dtype=np.int32)).T
    every = np.arange(n, dtype=np.int32)
    x[CATEGORY] = affinities(question.history, question.gains, np.array([0, n]), every, items.categories, categories)
    if sequence is not None:
        named = (sequence.items[0] >= 0) & (sequence.items[0] < n)
        x[SEQUENCE, sequence.items[0, named]] = sequence.values[0, named]
    _fill_impersonal(x, items, int(question.now_ms[0]), question.bins[0], moment_shares)
    return Everything(x, found.item, open_)


def scores_of(every: Everything, weights: F8) -> F8:
    """(n,) float64: weighted sums with the user's (F,) `weights`; -inf for what may not be listed."""
    scores = np.zeros(len(every.open))
    _add_weighted(every.features, weights, scores)
    scores[~every.open] = -np.inf
    return scores


def score_everything(
    question: Question,
    items: ItemArrays,
    moment_shares: F8,
    weights: RankingWeights,
    semantics: Semantics | None = None,
    sequence: SequenceScores | None = None,
    categories: CategoryShares = NO_SHARES,
) -> F8:
    """(n,) float64: `models.ranking.rank.score_all` of one user."""
    every = everything(question, items, moment_shares, semantics, sequence, categories)
    return scores_of(every, weights_of(question, items, weights, semantics)[0])


def _fill_impersonal(x: F8, items: ItemArrays, now_ms: int, bins: I8, moment_shares: F8) -> None:
    """As `models.ranking.features.fill_impersonal`, of all items: compiled what goes into a logarithm, NumPy the logarithm."""
    trend, entry, logged = x[TREND:POPULARITY], x[ENTRY:AGE], x[TREND : AGE + 1]
    for decayed, sums, constants_ms in ((trend, items.trend, TREND_MS), (entry, items.entry, ENTRY_MS)):
        _fill_ages(items.trend_ms, now_ms, np.array(constants_ms), decayed)
        np.exp(decayed, out=decayed)
        _fill_decayed(sums, decayed)
    _fill_counts(items.count, items.first_seen_ms, now_ms, x)
    np.log1p(logged, out=logged)
    for g, b in enumerate(bins.tolist()):
        # The first bin of the last group says that nobody told a context.
        if b >= 0 and b != MOMENT_STARTS[2] and moment_shares[b] > 0.0:
            _fill_moment(items.count, items.moments, b, moment_shares[b], x[CONTEXT + g])
            np.log(x[CONTEXT + g], out=x[CONTEXT + g])


@compiled
def _fill_ages(trend_ms: I8, now_ms: int, constants_ms: F8, ages: F8) -> None:
    for t in range(len(constants_ms)):
        for j in range(len(trend_ms)):
            ages[t, j] = -max(now_ms - trend_ms[j], 0) / constants_ms[t]


@compiled
def _fill_decayed(sums: F8, decayed: F8) -> None:
    for t in range(len(decayed)):
        for j in range(len(sums)):
            decayed[t, j] = sums[j, t] * decayed[t, j] / TREND_UNIT


@compiled
def _fill_counts(count: F8, first_seen_ms: I8, now_ms: int, x: F8) -> None:
    for j in range(len(count)):
        x[POPULARITY, j] = count[j]
        x[AGE, j] = 0.0 if first_seen_ms[j] == NEVER_MS else max(now_ms - first_seen_ms[j], 0) / HOUR_MS
        x[AGE + 1, j] = 1.0 if count[j] < NEW_BELOW else 0.0


@compiled
def _fill_moment(count: F8, moments: I8, b: int, share: float, out: F8) -> None:
    for j in range(len(count)):
        out[j] = (moments[j, b] + MOMENT_SMOOTHING * share) / ((count[j] + MOMENT_SMOOTHING) * share)


@compiled
def _add_weighted(features: F8, weights: F8, scores: F8) -> None:
    """Feature after feature, so that items with equal features have equal scores: a matrix product may add in another order
    at the end of a row."""
    for f in range(len(weights)):
        if weights[f] != 0.0:
            for j in range(len(scores)):
                scores[j] += weights[f] * features[f, j]

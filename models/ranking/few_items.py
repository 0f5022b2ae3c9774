"""People of whom only a few items are known: whether the list that newcomers get, added to their own scores, helps them.

Somebody's first items say little where everybody wants what is new, and much where they do not. So the count that makes the
list of people without history (`models.ranking.newcomers`) is added to the scores of people with fewer than `FEW` items, with
one of several weights, while what such people take next says that this is surely better (`models.ranking.evidence`). Judged are
lists of the moment at which theirs was made, of every eighth person.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import numpy as np

from models.arrays import F8, I4, I8, U64
from models.items.priors import Priors
from models.ranking.evidence import JUDGED_AT, worth
from models.ranking.features import FEATURES, ItemArrays, Question
from models.ranking.rank import RankingParams, SequenceScores, features_of, served_scope, weights_of
from models.ranking.semantics import Semantics
from models.ranking.weights import FEW, RankingWeights
from models.vocabulary import SEQUENCE

ADDED: Final = (0.5, 2.0, 8.0)
"""Weights that are tried."""

ADDED_NAMES: Final = tuple(f"{added:g}" for added in ADDED)

JUDGES: Final = 8
"""Every so manieth person's lists are judged."""


def is_judge(user: bytes) -> bool:
    """Whether this person is one of those by whom it is judged: always the same ones."""
    return crc32(user, 0x5EED) % JUDGES == 0


def are_few(usable: I8) -> I8:
    """Positions of those of whom something is known, of (u,) numbers of usable items, but not much."""
    found: I8 = np.flatnonzero((usable > 0) & (usable < FEW))
    return found


def with_added(weights: RankingWeights, added: float) -> RankingWeights:
    """The same weights, with the newcomers' list added for people with few items; 0: as they are. What the sequence model
    expects of nobody is never added: it expects something of these people themselves."""
    return weights if weights.cold_expert == SEQUENCE else weights._replace(added=added)


def lists_of_few(
    question: Question,
    items: ItemArrays,
    priors: Priors,
    params: RankingParams,
    weights: RankingWeights,
    semantics: Semantics | None,
    sequence: SequenceScores | None,
) -> I4:
    """(u, 1 + `ADDED`, `JUDGED_AT`) int32: `lists_with_added` of each of u users, of the candidates that `rank` scores.

    Args:
        question, items, priors, params, semantics, sequence: as for `models.ranking.rank.asked`.
        weights: those that serve without anything added.
    """
    own, newcomers = weights_of(question, items, weights, semantics), newcomer_weights(weights)
    scope, wanted = served_scope(priors, params), weights.wanted | (newcomers != 0.0)
    found, x = features_of(question, items, priors, scope, semantics, sequence, wanted)
    lists = np.empty((len(own), 1 + len(ADDED), JUDGED_AT), np.int32)
    for u in range(len(own)):
        at = slice(found.start[u], found.start[u + 1])
        item = found.item[at]
        lists[u] = lists_with_added(x[at], item, own[u], newcomers, items.count[item], items.hashes[item])
    return lists


def newcomer_weights(weights: RankingWeights) -> F8:
    """(F,) what is added with weight 1: the count of the list that newcomers get."""
    added = np.zeros(len(FEATURES))
    added[FEATURES.index(weights.cold_expert)] = 1.0
    return added


def lists_with_added(x: F8, items: I4, own: F8, newcomers: F8, count: F8, hashes: U64) -> I4:
    """(1 + `ADDED`, `JUDGED_AT`) int32: the best items by somebody's own weights, and with each of `ADDED`; -1 pads.

    Args:
        x: (c, F) features of the candidates.
        items: (c,) int32 their dense indices.
        own: (F,) the person's weights, nothing added.
        newcomers: (F,) what is added with weight 1.
        count, hashes: (c,) of the candidates: equal scores are in order of these, as in every list.
    """
    scores, added = x @ own, x @ newcomers
    lists = np.full((1 + len(ADDED), JUDGED_AT), -1, np.int32)
    for row, weight in enumerate((0.0, *ADDED)):
        total = scores + weight * added
        # Few are put in order: all that are not below the last one that has a place.
        last = np.partition(total, -JUDGED_AT)[-JUDGED_AT] if len(total) > JUDGED_AT else -np.inf
        best = np.flatnonzero(total >= last)
        order = best[np.lexsort((hashes[best], -count[best], -total[best]))][:JUDGED_AT]
        lists[row, : len(order)] = items[order]
    return lists


def better_with_added(lists: I4, taken: I8) -> F8:
    """(m, `ADDED`) float64: how much more what was taken is worth in each of (m, 1 + `ADDED`, k) lists than in the first."""
    found = worth(lists, taken)
    return found[:, 1:] - found[:, :1]

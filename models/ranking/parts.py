"""The parts of a score for any items, listed or not: what was shown, to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.compiled import compiled
from models.items.priors import Priors
from models.ranking.features import PART_OF, PARTS, ItemArrays, Question
from models.ranking.rank import SequenceScores, features_of, weights_of
from models.ranking.semantics import Semantics
from models.ranking.weights import RankingWeights


def shown_parts(
    question: Question,
    shown: NDArray[np.int32],
    *,
    items: ItemArrays,
    priors: Priors,
    weights: RankingWeights,
    semantics: Semantics | None = None,
    sequence: SequenceScores | None = None,
) -> F8:
    """(k, P) float64 for one user: the parts of each shown item's score, as `models.ranking.rank.rank` adds them up.

    Args:
        question: of one user.
        shown: (k,) int32 dense indices.
        items, priors, weights, semantics, sequence: as for `rank`; of the same user.

    Returns:
        Rows of NaN for what must not be listed: excluded, or not recommendable.
    """
    found, x = features_of(question, items, priors, (0, np.unique(shown)), semantics, sequence)
    sums = np.zeros((len(x), len(PARTS)))
    _add_up(x, weights_of(question, items, weights, semantics)[0], sums)
    order = np.argsort(found.item, kind="stable")
    ascending = found.item[order]
    at = np.minimum(np.searchsorted(ascending, shown), max(len(ascending) - 1, 0))
    parts = np.full((len(shown), len(PARTS)), np.nan)
    if len(ascending):
        there = ascending[at] == shown
        parts[there] = sums[order[at[there]]]
    return parts


@compiled
def _add_up(x: F8, weights: F8, sums: F8) -> None:
    for c in range(len(x)):
        for f in range(x.shape[1]):
            sums[c, PART_OF[f]] += weights[f] * x[c, f]

"""The split parts of one item's score as a function of how much of each behaviour's gain is there.

    score(m) = sum over scales s of w_s sign(near_s) log(1 + |near_s| / unit) + sum_q m_q l_q      near_s = sum_q m_q n_sq

m_q = 1 is the gain that place q of the history has, m_q = 0 none of it. *The baseline of an explanation along m is a person of
the same places without any gain.* What stays as in the whole history on the way there: the place and age of each item (so its
decay), the sum of absolute gains that the shares are of, and the interests that texts were grouped to. Were that sum to shrink
with the gains, score(a m) would be the same for every a > 0 and jump at 0: there would be no gradient to integrate.

Along the straight line from the baseline every near_s grows in proportion, so with A_s = near_s(1) / unit

    integral of w_s n_sq / (unit (1 + a |A_s|)) da = w_s log(1 + |A_s|) / |A_s| * n_sq / unit

which is what `models.ranking.rank` publishes: its contributions *are* the integrated gradients of this score, in closed form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.arrays import F8
from models.items.categories import NO_SHARES, CategoryShares
from models.items.index import NO_INDEX
from models.ranking.affinity import add_affinity_shares
from models.ranking.features import (
    CATEGORY,
    FORWARD,
    NEAR_UNIT,
    SCALES,
    TEXT,
    ItemArrays,
    Question,
    norm,
    place_weights,
)
from models.ranking.semantics import Semantics


class AdditiveScore(NamedTuple):
    """Of one item for one user with H places."""

    near: F8
    """(S, H): what each place's whole gain adds to the sum of each scale."""
    weights: F8
    """(S,) of the co-occurrence features."""
    linear: F8
    """(H,): what each place's whole gain adds to the part `interest`."""

    def scores(self, m: F8) -> F8:
        """(k,) for (k, H) shares of the gains."""
        sums = m @ self.near.T / NEAR_UNIT
        found: F8 = (np.sign(sums) * np.log1p(np.abs(sums))) @ self.weights + m @ self.linear
        return found

    def gradients(self, m: F8) -> F8:
        """(k, H) for (k, H)."""
        slopes = self.weights / (NEAR_UNIT + np.abs(m @ self.near.T))
        found: F8 = slopes @ self.near + self.linear
        return found


def additive_score(
    question: Question,
    items: ItemArrays,
    weights: F8,
    item: int,
    semantics: Semantics | None = None,
    categories: CategoryShares = NO_SHARES,
) -> AdditiveScore:
    """Of the first user.

    Args:
        question: of one user.
        items: what is known of them.
        weights: (F,) float64 of this user.
        item: dense index.
        semantics: the same user's interests by text; None where there is no encoder.
        categories: `Priors.categories`.
    """
    history = question.history[0]
    counts = np.empty((len(history), len(SCALES)))
    place_weights(question, 0, len(items.count), counts)
    near = np.zeros((len(SCALES), len(history)))
    for q in np.flatnonzero(np.any(counts != 0.0, axis=1)).tolist():
        h = int(history[q])
        row = items.neighbour_row[h]
        (at,) = np.nonzero((items.neighbours[row] == item) & (items.neighbours[row] != NO_INDEX))
        if len(at):
            both = norm(items.count[h]) * norm(items.count[item])
            near[:, q] = counts[q] * both * items.weights[row, at[0]]
            near[FORWARD, q] = counts[q, FORWARD] * both * items.forwards[row, at[0]]
    linear = np.zeros(len(history))
    if semantics is not None:
        linear = semantics.contributions(np.array([[item]], np.int32), weights[None, TEXT : TEXT + 2])[0, 0]
    shares, only = linear[None].copy(), np.array([item], np.int32)
    add_affinity_shares(history, question.gains[0], only, items.categories, categories, weights[CATEGORY], shares)
    linear = shares[0]
    return AdditiveScore(near, weights[: len(SCALES)], linear)

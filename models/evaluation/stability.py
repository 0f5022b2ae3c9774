"""How much of an explanation stays when the history changes a little. Pure; (n,) arrays of one question.

Alvarez-Melis and Jaakkola ("On the Robustness of Interpretability Methods", 2018): similar inputs should have similar
explanations. Here the order counts, so orders are compared: Spearman's rank correlation, and the share of the first k.
"""

from __future__ import annotations

import numpy as np

from models.arrays import F8


def mid_ranks(values: F8) -> F8:
    """(n,) float64 ranks from 0, ascending; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: F8 = (last - (counts + 1) / 2.0)[place.reshape(-1)]
    return ranks


def rank_correlation(one: F8, other: F8) -> float | None:
    """Spearman's: Pearson's correlation of mid-ranks, -1 .. 1. None where either is constant or shorter than 2.

    Raises:
        ValueError: they are not equally long.
    """
    if one.shape != other.shape:
        raise ValueError(f"contributions of {len(one)} and of {len(other)} behaviours")
    if len(one) < 2:
        return None
    a, b = (ranks - ranks.mean() for ranks in (mid_ranks(one), mid_ranks(other)))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return None if spread == 0.0 else float(np.clip((a @ b) / spread, -1.0, 1.0))


def top_overlap(one: F8, other: F8, k: int) -> float:
    """Share of the k largest that both have, 0 .. 1; of equal values the earlier is larger. Of fewer than k: of all, 1."""
    k = min(k, len(one))
    if k == 0:
        return 1.0
    first, second = (set(np.argsort(-values, kind="stable")[:k].tolist()) for values in (one, other))
    return len(first & second) / k

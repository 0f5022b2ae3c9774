"""Is a stated probability of a click true, had the list been shown? Outcome 1 for the target, 0 for the other items listed."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8

BINS: Final = 10
SHOWN: Final = 10
_LEAST: Final = 1e-7


class Reliability(NamedTuple):
    """Bins of equally many pairs, by probability ascending; `(bins,)` each."""

    stated: F8
    """Mean probability."""
    observed: F8
    """Share of clicks."""
    pairs: NDArray[np.int64]


def outcomes(
    listed: NDArray[np.int32], probability: NDArray[np.float32], target: NDArray[np.int32]
) -> tuple[F8, NDArray[np.bool_]]:
    """`(probability, clicked)`, `(p,)` each: every item among the first `SHOWN` of a list that has a probability.

    Args:
        listed, probability: (q, >= SHOWN) as in `Answers`.
        target: (q,).
    """
    shown, stated = listed[:, :SHOWN], probability[:, :SHOWN]
    real = (shown >= 0) & ~np.isnan(stated)
    return stated[real].astype(np.float64), (shown == target[:, None])[real]


def log_loss(probability: F8, clicked: NDArray[np.bool_]) -> float:
    """Mean of -log of the probability of what happened, in nats; probabilities are kept 1e-7 from 0 and 1."""
    p = np.clip(probability, _LEAST, 1 - _LEAST)
    return float(-np.log(np.where(clicked, p, 1 - p)).mean())


def area_under_roc(score: F8, clicked: NDArray[np.bool_]) -> float:
    """Probability that a clicked pair scores above one that is not, ties half (Mann-Whitney); NaN if a kind is missing."""
    positives = int(clicked.sum())
    negatives = clicked.size - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_rank[inverse][clicked].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def reliability(probability: F8, clicked: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Stated against observed in `bins` bins of equally many pairs; fewer bins if there are fewer pairs."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, max(1, min(bins, order.size)))
    return Reliability(
        np.array([probability[part].mean() for part in parts]),
        np.array([clicked[part].mean() for part in parts]),
        np.array([part.size for part in parts]),
    )


def expected_calibration_error(bins: Reliability) -> float:
    """Mean of |observed - stated| over the bins, weighted by their pairs (Naeini et al. 2015, with equal-mass bins)."""
    return float((np.abs(bins.observed - bins.stated) * bins.pairs).sum() / bins.pairs.sum())

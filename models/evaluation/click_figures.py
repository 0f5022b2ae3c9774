"""AUC, log loss and calibration error of stated click probabilities, with intervals by a bootstrap over users."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.compiled import compiled
from models.evaluation.bootstrap import Part, Resamples
from models.evaluation.calibration import (
    BINS,
    area_under_roc,
    expected_calibration_error,
    log_loss,
    reliability,
)

_Bools = NDArray[np.bool_]

MEASURES: Final = ("auc", "log_loss", "ece")
_LEAST: Final = 1e-7


def figures(probability: F8, clicked: _Bools, resamples: Resamples) -> dict[str, Any]:
    """Every figure of one contender, as JSON has it.

    The interval of a calibration error is of the bins of all exposures, and like the error itself biased upwards: chance alone
    makes stated and observed rates differ (Bröcker and Smith 2007).

    Args:
        probability, clicked: (m,).
        resamples: of the users of these m exposures.
    """
    bins = reliability(probability, clicked)
    auc = area_under_roc(probability, clicked)
    order = np.argsort(probability, kind="stable")
    group = np.unique(probability, return_inverse=True)[1][order]
    hit, bin_of = clicked[order], _bins(order)
    gap = clicked - probability
    losses = point_losses(probability, clicked)

    def statistics(weight: F8) -> F8:
        total = weight.sum()
        missed = np.abs(np.bincount(bin_of, weight * gap, minlength=1)).sum()
        return np.array([_weighted_auc(group, hit, weight[order]), (weight @ losses) / total, missed / total])

    intervals = resamples.of(statistics)
    return {
        "auc": _or_none(auc),
        "log_loss": log_loss(probability, clicked),
        "ece": expected_calibration_error(bins),
        "mean": float(probability.mean()),
        "clicks": int(clicked.sum()),
        "intervals": {
            name: [_or_none(interval.low), _or_none(interval.high)]
            for name, interval in zip(MEASURES, intervals, strict=True)
        },
        "reliability": {
            "stated": bins.stated.tolist(),
            "observed": bins.observed.tolist(),
            "pairs": bins.pairs.tolist(),
        },
    }


def point_losses(probability: F8, clicked: _Bools) -> F8:
    """(m,) -log of the probability of what happened, as `models.evaluation.calibration.log_loss` averages it."""
    p = np.clip(probability, _LEAST, 1 - _LEAST)
    losses: F8 = -np.log(np.where(clicked, p, 1 - p))
    return losses


def log_loss_minus(one: F8, other: F8, clicked: _Bools, resamples: Resamples) -> dict[str, Any]:
    """`one`'s log loss minus `other`'s with its interval: below 0 where `one` is better."""
    difference = point_losses(one, clicked) - point_losses(other, clicked)
    ((interval,),) = resamples.intervals([Part(np.ones(len(clicked), np.bool_), difference[None, :])])
    return {"mean": float(difference.mean()), "interval": [interval.low, interval.high]}


def _bins(order: I8) -> I8:
    """(m,) The bin of `reliability` that each exposure is in."""
    bin_of = np.empty(len(order), np.int64)
    for number, rows in enumerate(np.array_split(order, max(1, min(BINS, len(order))))):
        bin_of[rows] = number
    return bin_of


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


@compiled
def _weighted_auc(group: I8, clicked: _Bools, weight: F8) -> float:
    """`area_under_roc` where example i counts `weight[i]` times; `group`: ascending number of its probability."""
    below, above, positives, negatives, i = 0.0, 0.0, 0.0, 0.0, 0
    while i < len(group):
        here, hits, misses = group[i], 0.0, 0.0
        while i < len(group) and group[i] == here:
            if clicked[i]:
                hits += weight[i]
            else:
                misses += weight[i]
            i += 1
        above += hits * (below + 0.5 * misses)
        below += misses
        positives += hits
        negatives += misses
    if positives == 0.0 or negatives == 0.0:
        return np.nan
    return float(above / (positives * negatives))

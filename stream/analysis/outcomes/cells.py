"""Exposures and totals as the cells of `models.credit.off_policy`. Pure.

Of both only those whose strategy and slot are known: an unknown one has no propensity, and among all exposures of its slot it
would count as one that no strategy could have had.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.credit.off_policy import CellSums, add_up, sums_of
from models.vocabulary import STRATEGIES, UNKNOWN
from stream.analysis.outcomes.journeys import Exposure
from stream.wire.records import StrategyStats

_SUMS = (
    "exposures",
    "clicks",
    "inverse_propensity",
    "inverse_propensity_squared",
    "clicks_inverse_propensity",
    "clicks_inverse_propensity_squared",
)


def known(exposures: Sequence[Exposure]) -> list[Exposure]:
    """Those whose strategy and slot are known."""
    return [each for each in exposures if each.strategy != UNKNOWN and each.slot > 0]


def cells_of(stats: Sequence[StrategyStats]) -> CellSums:
    """The cells of the partitions added up."""
    kept = [each for each in stats if each.strategy != "unknown" and each.slot > 0]
    if not kept:
        return add_up([])
    codes = np.array([(STRATEGIES.index(each.strategy), each.slot, each.context) for each in kept], np.int64)
    sums = np.array([[getattr(each, name) for name in _SUMS] for each in kept], np.float64)
    return add_up([CellSums(codes[:, 0], codes[:, 1], codes[:, 2], *sums.T)])


def exposed_cells(exposures: Sequence[Exposure]) -> CellSums:
    """The cells of exposures that are all `known`."""
    if not exposures:
        return add_up([])
    rows = [(each.strategy, each.slot, each.context, each.clicked, each.propensity) for each in exposures]
    strategy, slot, context, clicked, propensity = np.array(rows, np.float64).T
    return sums_of(strategy, slot, context, clicked, propensity)

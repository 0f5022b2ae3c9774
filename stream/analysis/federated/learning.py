"""Ranking weights by a federation: one round that plans, then rounds that learn.

Below some thousands of choices to learn all parts costs more than it brings (`models.learning.weight_fit.plan_of`), and no shop
knows what the others have. So each first says which parts it would learn; those with half of the choices behind them are.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from models.ranking.features import PARTS
from models.ranking.weights import RankingWeights
from stream.analysis.federated.run import Federated, FederationOptions, federate
from stream.analysis.federated.weights import initial, parts_voted_for, votes, weights_of


class Learned(NamedTuple):
    """What came of it."""

    weights: RankingWeights
    parts: tuple[str, ...]
    """That were learned; the others are those that Penchant comes with."""
    federated: Federated
    """Of all rounds, the one that plans first."""


def learn_together(grid: Any, options: FederationOptions) -> Learned:
    """Over a grid of Flower's, whose clients answer as `stream.analysis.federated.weights.train_round`.

    Raises:
        FederationError: in some round no client sent an update that counts.
    """
    planned = federate(grid, votes(), options._replace(rounds=1, norm_max=math.sqrt(len(PARTS))))
    parts = parts_voted_for(planned.arrays)
    if not parts:
        return Learned(weights_of(initial()), (), planned)
    found = federate(grid, initial(), options._replace(config={**options.config, "parts": ",".join(parts)}))
    every = Federated(found.arrays, (*planned.verdicts, *found.verdicts), planned.bytes + found.bytes)
    return Learned(weights_of(found.arrays), parts, every)

"""`item_cf`: item-based collaborative filtering, cosine over all users (Sarwar et al. 2001; Deshpande and Karypis 2004)."""

from __future__ import annotations

from typing import Final

from models.evaluation.baselines.chosen import Chosen
from models.evaluation.baselines.pair_counts import PairCounts, Recipe
from models.evaluation.contract import Setup

NAME: Final = "item_cf"
HISTORIES: Final = (20, 200, 50, 8)
SMOOTHINGS: Final = (0.0, 10.0)


def item_cf(setup: Setup) -> Chosen[Recipe]:
    """The contender: similarities to all items of the history count alike; how far back it goes and the smoothing are tuned."""
    del setup
    options = {
        f"last {history}, smoothing {smoothing:g}": Recipe(1.0, 10_000, 1.0, history, smoothing)
        for history in HISTORIES
        for smoothing in SMOOTHINGS
    }
    return Chosen(NAME, lambda each: PairCounts(NAME, each), options)

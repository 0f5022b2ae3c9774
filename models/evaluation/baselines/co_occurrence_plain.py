"""`co_occurrence_plain`: items that were had by the same users, as it is usually done online."""

from __future__ import annotations

from typing import Final

from models.evaluation.baselines.pair_counts import PairCounts, Recipe
from models.evaluation.contract import Setup

NAME: Final = "co_occurrence_plain"
RECIPE: Final = Recipe(write_decay=1.0, write_window=10_000, read_decay=0.8, read_window=10, smoothing=0.0)
"""Symmetric: every pair of items of a user counts alike; cosine; the newest ten items decayed by 0.8. Nothing to tune."""


def co_occurrence_plain(setup: Setup) -> PairCounts:
    """The contender."""
    del setup
    return PairCounts(NAME, RECIPE)

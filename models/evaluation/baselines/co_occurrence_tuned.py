"""`co_occurrence_tuned`: pairs decayed by their distance in the history, read through the window that suits the data."""

from __future__ import annotations

from typing import Final

from models.evaluation.baselines.chosen import Chosen
from models.evaluation.baselines.pair_counts import PairCounts, Recipe
from models.evaluation.contract import Setup

NAME: Final = "co_occurrence_tuned"
WINDOWS: Final = ((0.8, 8), (0.5, 8), (0.9, 20), (0.98, 64))
"""`(read_decay, read_window)`."""


def recipe(read_decay: float, read_window: int) -> Recipe:
    """The recipe with a window."""
    return Recipe(write_decay=0.9, write_window=50, read_decay=read_decay, read_window=read_window, smoothing=10.0)


def co_occurrence_tuned(setup: Setup) -> Chosen[Recipe]:
    """The contender."""
    del setup
    options = {f"{decay} over {window}": recipe(decay, window) for decay, window in WINDOWS}
    return Chosen(NAME, lambda each: PairCounts(NAME, each), options)

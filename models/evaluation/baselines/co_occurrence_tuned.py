"""`co_occurrence_tuned`: pairs decayed by their distance in the history, read through the window that suits the data."""

from __future__ import annotations

from typing import Any, Final

from models.evaluation.baselines.pair_counts import PairCounts, Recipe
from models.evaluation.contract import Answer, Known, Setup, Stream
from models.evaluation.tuning import choose

NAME: Final = "co_occurrence_tuned"
WINDOWS: Final = ((0.8, 8), (0.5, 8), (0.9, 20), (0.98, 64))
"""`(read_decay, read_window)`."""


def recipe(window: tuple[float, int]) -> Recipe:
    """The recipe of a window."""
    return Recipe(write_decay=0.9, write_window=50, read_decay=window[0], read_window=window[1], smoothing=10.0)


class TunedCoOccurrence:
    """`PairCounts` with the window chosen from `WINDOWS`."""

    name = NAME

    def __init__(self, setup: Setup) -> None:
        del setup
        self.chosen: dict[str, Any] = {}

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        choice = choose(lambda window: PairCounts(NAME, recipe(window)), WINDOWS, stream, known, end)
        decay, window = WINDOWS[choice.best]
        tried = {f"{g}/{n}": ndcg for (g, n), ndcg in zip(WINDOWS, choice.ndcg, strict=True)}
        self.chosen = {"read_decay": decay, "read_window": window, "tried": tried}
        self._best = PairCounts(NAME, recipe(WINDOWS[choice.best]))
        self._best.warm_up(stream, known, end)

    def ask(self, at: int) -> Answer:
        return self._best.ask(at)

    def learn(self, at: int) -> None:
        self._best.learn(at)

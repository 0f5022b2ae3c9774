"""A contender that first tries options on the warm-up part and then goes on as the best of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from models.evaluation.contract import Answer, Contender, Known, Stream
from models.evaluation.tuning import choose

Option = TypeVar("Option")


class Chosen(Generic[Option]):
    """`chosen` says which option it was and how all of them did."""

    def __init__(self, name: str, make: Callable[[Option], Contender], options: Mapping[str, Option]) -> None:
        """`make` gives a fresh contender; `options` by what they are called in the report, the default first."""
        self.name = name
        self.chosen: dict[str, Any] = {}
        self._make, self._options = make, options

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        labels = list(self._options)
        choice = choose(self._make, list(self._options.values()), stream, known, end)
        tried = {label: round(ndcg, 6) for label, ndcg in zip(labels, choice.ndcg, strict=True)}
        self.chosen = {"option": labels[choice.best], "ndcg@10 on the warm-up part": tried}
        self._best = self._make(self._options[labels[choice.best]])
        self._best.warm_up(stream, known, end)

    def ask(self, at: int) -> Answer:
        return self._best.ask(at)

    def learn(self, at: int) -> None:
        self._best.learn(at)

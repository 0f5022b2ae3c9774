"""Choosing among variants of a contender on the warm-up part alone: the same protocol, inside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from models.evaluation.contract import Contender, Known, Stream
from models.evaluation.protocol import run
from models.evaluation.questions import questions, warm_up_end

INNER_WARM_UP: Final = 0.8
MAX_QUESTIONS: Final = 4000

Option = TypeVar("Option")


class Choice(NamedTuple):
    """What was tried, and how it did."""

    best: int
    """Position of the first option with the highest NDCG@10."""
    ndcg: list[float]
    """Of every option."""


def choose(make: Callable[[Option], Contender], options: Sequence[Option], stream: Stream, known: Known, end: int) -> Choice:
    """The option whose contender ranks the last fifth of the warm-up part best, having learned the rest of it.

    Of the questions at most `MAX_QUESTIONS` are asked, evenly spread. Without any the first option is chosen.

    Args:
        make: a fresh contender for an option.
        options: at least one.
        stream, known: the data.
        end: events from here on are not looked at.
    """
    middle = warm_up_end(end, INNER_WARM_UP)
    asked = questions(stream, known, middle, end)
    if asked.at.size > MAX_QUESTIONS:
        asked = asked.take(np.linspace(0, asked.at.size - 1, MAX_QUESTIONS).astype(np.int64))
    if not asked.at.size or len(options) == 1:
        return Choice(0, [float("nan")] * len(options))
    found = []
    for option in options:
        answers = run(make(option), stream, known, asked, middle, end)
        hit = asked.known & (answers.rank <= 10)
        found.append(float(np.where(hit, 1.0 / np.log2(1.0 + answers.rank), 0.0).mean()))
    return Choice(int(np.argmax(found)), found)

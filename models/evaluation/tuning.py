"""Choosing among variants of a contender on the warm-up part alone: the same protocol, inside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import Contender, Known, Stream
from models.evaluation.protocol import run
from models.evaluation.questions import Questions, questions, warm_up_end

INNER_WARM_UP: Final = 0.8
MAX_QUESTIONS: Final = 4000

Option = TypeVar("Option")


class Choice(NamedTuple):
    """What was tried, and how it did."""

    best: int
    """Position of the chosen option."""
    ndcg: list[float]
    """NDCG@10 of every option."""


def choose(
    make: Callable[[Option], Contender], options: Sequence[Option], stream: Stream, known: Known, end: int
) -> Choice:
    """The option whose contender ranks the last fifth of the warm-up part best, having learned the rest of it.

    The first option is the default: another takes its place only if its NDCG@10 is higher by more than one standard error of
    the difference (the rule of Breiman et al. 1984). Of the questions at most `MAX_QUESTIONS` are asked, evenly spread; without
    any the default stays.

    Args:
        make: a fresh contender for an option.
        options: at least one.
        stream, known: the data.
        end: events from here on are not looked at.
    """
    middle = warm_up_end(stream, INNER_WARM_UP, end)
    asked = questions(stream, known, middle, end).evenly(MAX_QUESTIONS)
    if asked.at.size < 2 or len(options) == 1:
        return Choice(0, [float("nan")] * len(options))
    gains = np.stack([_gains(make(option), stream, known, asked, middle, end) for option in options])
    mean = gains.mean(axis=1)
    best = int(np.argmax(mean))
    error = (gains[best] - gains[0]).std(ddof=1) / np.sqrt(asked.at.size)
    return Choice(best if mean[best] - mean[0] > error else 0, mean.tolist())


def _gains(
    contender: Contender, stream: Stream, known: Known, asked: Questions, middle: int, end: int
) -> NDArray[np.float64]:
    """NDCG@10 of each question."""
    answers = run(contender, stream, known, asked, middle, end)
    hit = asked.known & (answers.rank <= 10)
    return np.where(hit, 1.0 / np.log2(1.0 + answers.rank), 0.0)

"""Penchant as a contender: the ranking that serves, with weights learned from what was before, as a worker's are.

Weights are learned from choices sampled evenly over the last part of the warm-up, and again now and then from those that were
met since: never from what is asked about later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.choices import ChoiceLog
from models.evaluation.contract import Answer, Contender, Factory, Known, Setup, Stream
from models.features import PARTS
from models.weight_fit import FitOptions, learn
from models.weights import default_weights
from stream.prequential import Question, Replayed
from stream.settings import Settings

LEARNED_FROM: Final = 6_000
"""Newest choices that weights are learned from."""

LEARNING_SHARE: Final = 0.4
"""Of the warm-up's first engagements, the last: choices are sampled from them."""

RELEARN_TIMES: Final = 10
"""How often weights are learned again until the end of the stream."""

RELEARN: Final = FitOptions(steps=60, learning_rate=0.02)


class Penchant:
    """See `models.evaluation.contract.Contender`."""

    name = "penchant"

    def __init__(
        self, settings: Settings, setup: Setup, *, parts: tuple[str, ...] = PARTS, learned: bool = True
    ) -> None:
        """`parts` are used; `learned` False: the weights that Penchant comes with."""
        self._settings, self._parts, self._learned = settings, parts, learned
        self._rng = np.random.default_rng(setup.seed)
        self._log = ChoiceLog(LEARNED_FROM)
        self.weights = default_weights()
        self.chosen: dict[str, float | str] = {}

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        """Learn states, statistics and weights."""
        self._stream, self._known = stream, known
        self._replayed = Replayed(self._settings, stream, known)
        self._seen = np.maximum.accumulate(stream.item) + 1  # items have numbers in the order of their first appearance
        all_firsts = np.flatnonzero(stream.first)
        self._order = all_firsts[np.argsort(stream.user[all_firsts], kind="stable")]
        self._starts = np.searchsorted(stream.user[self._order], np.arange(known.n_users + 1))
        firsts = np.flatnonzero(stream.first[:end])
        window = firsts[int((1.0 - LEARNING_SHARE) * len(firsts)) :]
        if self._learned and len(window):
            step = max(1, len(window) // LEARNED_FROM)
            for at in window[::step].tolist():
                self._replayed.advance(at)
                self._note(self._question(at), at)
            self._learn(FitOptions())
        self._replayed.advance(end)
        left = int(stream.first[end:].sum())
        self._note_every = max(1, left // LEARNED_FROM)
        self._relearn_every = max(1000, left // RELEARN_TIMES)
        self._asked = 0

    def ask(self, at: int) -> Answer:
        """Scores of everything."""
        question = self._question(at)
        scores = self._replayed.scores(question, self.weights)
        if self._learned:
            self._pending = question
        calibration = self.weights.calibration
        with np.errstate(over="ignore"):
            probability = 1.0 / (1.0 + np.exp(-(calibration.slope * scores + calibration.intercept)))
        return Answer(scores, None, probability)

    def learn(self, at: int) -> None:
        """The event has happened."""
        if self._learned and self._stream.first[at]:
            self._asked += 1
            if self._asked % self._note_every == 0:
                self._note(self._pending, at)
            if self._asked % self._relearn_every == 0:
                self._learn(RELEARN)
        self._replayed.advance(at + 1)

    def _learn(self, options: FitOptions) -> None:
        if len(self._log):
            self.weights = learn(self._log.choices(), self.weights, self._parts, options)
            self.chosen = {"weights": self.weights.version, "choices": float(len(self._log))}

    def _question(self, at: int) -> Question:
        return self._replayed.question(int(self._stream.user[at]), int(self._stream.time_ms[at]))

    def _note(self, question: Question, at: int) -> None:
        chosen = int(self._stream.item[at])
        self._replayed.note(question, chosen, self._open(at), self._log, self._rng)

    def _open(self, at: int) -> NDArray[np.bool_]:
        """(n,) bool by dense index: what could be chosen at `at`, the harness's own rule."""
        stream, known = self._stream, self._known
        seen = int(self._seen[at - 1]) if at else 0
        there = known.listed_from_ms <= stream.time_ms[at]
        there[:seen] = True
        open_ = np.zeros(len(self._replayed.index), np.bool_)
        open_[self._replayed.number[there]] = True
        open_[self._replayed.number[self._had(at)]] = False
        open_[self._replayed.number[stream.item[at]]] = bool(there[stream.item[at]])
        return open_

    def _had(self, at: int) -> NDArray[np.int32]:
        """Numbers of the items that the user of event `at` had before it."""
        user = int(self._stream.user[at])
        mine = self._order[self._starts[user] : self._starts[user + 1]]
        had: NDArray[np.int32] = self._stream.item[mine[: np.searchsorted(mine, at)]]
        return had


def serving(settings: Settings) -> Factory:
    """As it serves."""
    return lambda setup: Penchant(settings, setup)


def with_default_weights(settings: Settings) -> Factory:
    """With the weights that Penchant comes with: a first day."""
    return lambda setup: Penchant(settings, setup, learned=False)


def without(part: str) -> Callable[[Settings], Factory]:
    """Everything but one part, learned anew: an ablation."""

    def made(settings: Settings) -> Factory:
        def make(setup: Setup) -> Contender:
            return Penchant(settings, setup, parts=tuple(each for each in PARTS if each != part))

        return make

    return made

"""Penchant as a contender: the ranking that serves, with weights learned from what was before, as a worker's are.

Weights are learned from choices sampled evenly over the last part of the warm-up, and again now and then from those that were
met since: never from what is asked about later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from models.evaluation.contract import Answer, Contender, Factory, Known, Setup, Stream
from models.learning.weight_fit import FitOptions, learn
from models.ranking.features import PARTS
from models.ranking.weights import default_weights
from models.sequence.graph import Kind
from stream.analysis.rankings.sequence import ARCHITECTURE, can_train, trained
from stream.analysis.replayed import ChoiceSampler, ReplayedWorker, UserInputs
from stream.settings import Settings

LEARNED_FROM: Final = 5_000
"""Newest choices that weights are learned from: so many within a session, and as many at the start of one."""

LEARNING_SHARE: Final = 0.4
"""Of the warm-up's first engagements, the last: choices are sampled from them."""

RELEARN_TIMES: Final = 10
"""How often weights are learned again until the end of the stream."""

RELEARN: Final = FitOptions(steps=60, learning_rate=0.02)


class Penchant:
    """See `models.evaluation.contract.Contender`."""

    name = "penchant"

    def __init__(
        self,
        settings: Settings,
        setup: Setup,
        *,
        parts: tuple[str, ...] = PARTS,
        learned: bool = True,
        candidates_only: bool = False,
        architecture: Kind = ARCHITECTURE,
    ) -> None:
        """A variant of what serves.

        Args:
            settings: of the worker.
            setup: of the evaluation.
            parts: those that are used.
            learned: False: the weights that Penchant comes with.
            candidates_only: everything that a worker would not score is last, so the figures are those of its lists.
            architecture: of the sequence model.
        """
        self._settings, self._setup, self._parts, self._learned = settings, setup, parts, learned
        self._candidates_only, self._architecture = candidates_only, architecture
        self.weights = default_weights()
        self.chosen: dict[str, float | str] = {}

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        """Learn states, statistics and weights."""
        self._stream, self._known = stream, known
        self.replayed = ReplayedWorker(self._settings, stream, known)
        rng = np.random.default_rng(self._setup.seed)
        self.choosing = ChoiceSampler(self.replayed, stream, known, LEARNED_FROM, rng)
        firsts = np.flatnonzero(stream.first[:end])
        window = firsts[int((1.0 - LEARNING_SHARE) * len(firsts)) :]
        if self._learned and len(window):
            self._train_sequence(int(window[0]))
            for at in self.choosing.sample(window).tolist():
                self.choosing.note(at)
            self._learn(FitOptions())
        self.replayed.advance(end)
        self._train_sequence(end)
        rest = np.flatnonzero(stream.first[end:]) + end
        self._noted = set(self.choosing.sample(rest).tolist()) if self._learned and len(rest) else set()
        self._relearn_every = max(1000, len(rest) // RELEARN_TIMES)
        self._happened = 0

    def ask(self, at: int) -> Answer:
        """Scores of everything."""
        inputs = self.choosing.inputs(at, without_had=self._candidates_only)
        scores = self.replayed.scores(inputs, self.weights, candidates_only=self._candidates_only)
        self._note(at, inputs)
        calibration = self.weights.calibration
        with np.errstate(over="ignore"):
            probability = 1.0 / (1.0 + np.exp(-(calibration.slope * scores + calibration.intercept)))
        return Answer(scores, None, probability)

    def learn(self, at: int) -> None:
        """The event has happened. What it changes is applied when that is needed next: many events at once cost far less."""
        self._note(at)
        if self._learned and self._stream.first[at]:
            self._happened += 1
            if self._happened % self._relearn_every == 0:
                self._learn(RELEARN)

    def _note(self, at: int, inputs: UserInputs | None = None) -> None:
        """Keep the choice, if it is one to learn from, whether it was asked about or not."""
        if at in self._noted:
            self._noted.remove(at)
            self.choosing.note(at, inputs)

    def _train_sequence(self, end: int) -> None:
        """Weights must be learned with a model that had not seen the choices, so it is trained twice."""
        if "sequence" in self._parts and self._learned and can_train():
            self.replayed.sequence = trained(self._stream, self._known, end, self._setup.seed, self._architecture)
            model = self.replayed.sequence
            self.chosen["sequence"] = "none: counting was better" if model is None else model.model_version

    def _learn(self, options: FitOptions) -> None:
        if len(self.choosing):
            self.weights = self.replayed.weights = learn(self.choosing.choices(), self.weights, self._parts, options)
            self.chosen |= {"weights": self.weights.version, "choices": float(len(self.choosing))}


def serving(settings: Settings) -> Factory:
    """As it serves."""
    return lambda setup: Penchant(settings, setup)


def with_default_weights(settings: Settings) -> Factory:
    """With the weights that Penchant comes with: a first day."""
    return lambda setup: Penchant(settings, setup, learned=False)


def of_candidates(settings: Settings) -> Factory:
    """What a worker's lists hold: only candidates are scored."""
    return lambda setup: Penchant(settings, setup, candidates_only=True)


def with_architecture(architecture: Kind) -> Callable[[Settings], Factory]:
    """With a sequence model of another architecture."""
    return lambda settings: lambda setup: Penchant(settings, setup, architecture=architecture)


def without(part: str) -> Callable[[Settings], Factory]:
    """Everything but one part, learned anew: an ablation."""

    def made(settings: Settings) -> Factory:
        def make(setup: Setup) -> Contender:
            return Penchant(settings, setup, parts=tuple(each for each in PARTS if each != part))

        return make

    return made

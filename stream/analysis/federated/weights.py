"""Ranking weights as a client of a federation learns them: from the choices of its own people, a few steps a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F8
from models.learning.choices import Choices
from models.learning.weight_fit import FitOptions, calibrate, features_of_parts, fit, plan_of
from models.ranking.features import PARTS
from models.ranking.weights import Calibration, RankingWeights, default_weights, make_weights
from stream.analysis.data import Data
from stream.analysis.replayed import ChoiceSampler, ReplayedWorker, evenly
from stream.analysis.weights import JUDGE_FROM, LEARN_FROM, MIN_QUESTIONS, TooFewError, judged
from stream.settings import Settings

TABLE, CALIBRATION, VOTES = "table", "calibration", "votes"
"""Names of arrays."""

STEPS: Final = 30
"""Of Adam, a round."""


LEARNING_RATE: Final = 0.02

PULLED: Final = FitOptions(l2=1e-3, gate_l2=3e-3, near_built_in=True)
"""Towards the weights that Penchant comes with: what a shop has few choices of stays as it is."""


class ClientOptions(NamedTuple):
    """How a client learns. The same at all clients."""

    choices: int = 2_000
    """Learned from at most, within sessions and at their starts each."""
    questions: int = 1_000
    """Judged by at most."""
    seed: int = 0


class WeightsClient:
    """A shop: choices to learn from, and the newest tenth of its first engagements, which decides and is never learned from."""

    def __init__(self, settings: Settings, data: Data, options: ClientOptions) -> None:
        """Reads the events through once.

        Raises:
            TooFewError: fewer than 20 choices, or questions.
        """
        stream, known = data.stream, data.known
        firsts = np.flatnonzero(stream.first)
        judge_from = int(JUDGE_FROM * len(firsts))
        asked = evenly(firsts[judge_from:], options.questions)
        choosing = ChoiceSampler(
            ReplayedWorker(settings, stream, known), stream, known, options.choices, np.random.default_rng(options.seed)
        )
        for at in choosing.sample(firsts[int(LEARN_FROM * len(firsts)) : judge_from]).tolist():
            choosing.note(at)
        if len(choosing) < MIN_QUESTIONS or len(asked) < MIN_QUESTIONS:
            raise TooFewError(
                f"{len(choosing)} choices and {len(asked)} questions; each must be {MIN_QUESTIONS} at least"
            )
        every = choosing.choices()
        self.choices: Choices = every.take(every.history > 0)
        self._choosing, self._asked = choosing, asked

    def train(self, given: Mapping[str, F8], config: Mapping[str, Any]) -> tuple[dict[str, F8], int]:
        """A round: from the weights of all, some steps by the own choices; and how many these are."""
        return train_round(self.choices, given, config)

    def judge(self, *contenders: RankingWeights) -> list[F8]:
        """NDCG@10 of the questions by each of them, (q,), as the prequential evaluation has it. Once: the events go on."""
        ranks: list[list[float]] = [[] for _ in contenders]
        for at in self._asked.tolist():
            inputs = self._choosing.inputs(at)
            for each, weights in zip(ranks, contenders, strict=True):
                each.append(self._choosing.rank_of_chosen(inputs, at, weights))
        return [judged(np.array(each)).ndcg for each in ranks]


def train_round(choices: Choices, given: Mapping[str, F8], config: Mapping[str, Any]) -> tuple[dict[str, F8], int]:
    """What the given weights become by some steps on these choices, and how many they are.

    Args:
        choices: of people with a history.
        given: as `initial`; in the first round, which plans, `votes`.
        config: may have `parts` that are learned (`A,B,..`; default: all), `steps` and `learning_rate`.
    """
    if VOTES in given:
        planned = plan_of(choices).parts
        return {VOTES: np.array([float(part in planned) for part in PARTS])}, len(choices.real)
    parts = tuple(str(config.get("parts", "")).split(",")) if config.get("parts") else PARTS
    options = PULLED._replace(
        steps=int(config.get("steps", STEPS)), learning_rate=float(config.get("learning_rate", LEARNING_RATE))
    )
    start = weights_of(given)
    features = features_of_parts(parts)
    learned = fit(choices, start, features, options, np.where(features, 0.0, default_weights().table))
    slope, intercept = calibrate(choices, learned)
    return {TABLE: np.array(learned.table), CALIBRATION: np.array([slope, intercept])}, len(choices.real)


def initial() -> dict[str, F8]:
    """Where a federation begins: the weights that Penchant comes with."""
    start = default_weights()
    return {TABLE: np.array(start.table), CALIBRATION: np.array(start.calibration, np.float64)}


def votes() -> dict[str, F8]:
    """What the round is given that plans."""
    return {VOTES: np.zeros(len(PARTS))}


def parts_voted_for(arrays: Mapping[str, F8]) -> tuple[str, ...]:
    """Parts whose weights shops with at least half of the choices would learn (`models.learning.weight_fit.plan_of`)."""
    return tuple(part for part, share in zip(PARTS, arrays[VOTES].tolist(), strict=True) if share >= 0.5)


def weights_of(arrays: Mapping[str, F8]) -> RankingWeights:
    """As they serve. Newcomers' weights are those that Penchant comes with: counts, which need no learning."""
    slope, intercept = arrays[CALIBRATION].tolist()
    return make_weights(arrays[TABLE], default_weights().cold, Calibration(max(slope, 1e-3), intercept))

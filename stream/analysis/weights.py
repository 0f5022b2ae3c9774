"""Weights learned from a stream, judged on its newest part against those that serve; strengths of actions likewise.

    |--- states and statistics only ---|--- choices to learn from ---|--- judged: no choice from here was learned ---|
    0                                0.5                           0.9                                               1

The shares are of first engagements. The challenger is worth keeping only if it ranks what came next better than the champion,
on the same questions, by more than `min_gain` in NDCG@10 over everything known.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import Known, Stream
from models.learning.weight_fit import FitOptions, learn
from models.ranking.features import PARTS
from models.ranking.weights import RankingWeights, default_weights
from models.sequence.model import SequenceModel
from models.vocabulary import ACTIONS
from stream.analysis.replayed import ChoiceSampler, ReplayedWorker, evenly
from stream.refresh.versions import RankerModel, read_versions, read_weights, weights_of
from stream.settings import Settings

LEARN_FROM: Final = 0.5
JUDGE_FROM: Final = 0.9
MIN_QUESTIONS: Final = 20

STEPS: Final = (0.5, 2.0)
"""What each strength is tried times."""

OnStep = Callable[[int, int], None]


class Judged(NamedTuple):
    """NDCG@10 of each inputs, and how often the item was among the first 10."""

    ndcg: NDArray[np.float64]
    hit: NDArray[np.bool_]


class FitResult(NamedTuple):
    """What came of it."""

    challenger: RankingWeights
    choices: int
    champion_score: Judged
    challenger_score: Judged
    trained_until_ms: int
    """Of the newest event that was learned from."""
    min_gain: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the challenger is so much better that it should serve."""
        return self.gain > self.min_gain

    @property
    def gain(self) -> float:
        """Mean difference in NDCG@10."""
        return float((self.challenger_score.ndcg - self.champion_score.ndcg).mean())

    @property
    def standard_error(self) -> float:
        """Of the gain; questions of one user are taken as independent, so it is a little too small."""
        difference = self.challenger_score.ndcg - self.champion_score.ndcg
        return float(difference.std(ddof=1) / np.sqrt(len(difference)))

    @property
    def metrics(self) -> dict[str, float]:
        """The challenger's, as a published version tells them."""
        return _means(self.challenger_score)

    def report(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kept": self.kept,
            "version": self.challenger.version,
            "choices": self.choices,
            "questions": len(self.champion_score.hit),
            "trained_until_ms": self.trained_until_ms,
            "gain": self.gain,
            "standard_error": self.standard_error,
            "champion": _means(self.champion_score),
            "challenger": self.metrics,
        }


class TooFewError(Exception):
    """There is not enough to learn from or to judge by."""


def weights_in(path: Path | None) -> RankingWeights:
    """Those in the file; without one those that Penchant comes with.

    Raises:
        UsageError: the file holds none.
    """
    return default_weights() if path is None else read_weights(path)


def serving_weights(settings: Settings, *, from_topic: bool) -> RankingWeights:
    """The current version on the models topic, if that is asked for and there is one; else those of the settings.

    Raises:
        UsageError: no broker answers, or the settings name a file that holds none.
    """
    if from_topic:
        now = read_versions(settings)["ranker"].current
        if isinstance(now, RankerModel):
            return weights_of(now)
    return weights_in(settings.ranking_weights)


def train_weights(
    settings: Settings,
    stream: Stream,
    known: Known,
    champion: RankingWeights,
    *,
    sequence: SequenceModel | None = None,
    parts: tuple[str, ...] = PARTS,
    newcomers: bool = False,
    choices: int = 5_000,
    questions: int = 2_000,
    seed: int = 0,
    min_gain: float = 0.0,
    on_step: OnStep = lambda *_: None,
) -> FitResult:
    """Learn from the middle of a stream, judge on its end.

    Args:
        settings: strengths, windows and decays that the worker has.
        stream, known: the events.
        champion: what serves now, and where learning starts.
        sequence: the model that serves; it should not have seen the events that are learned from.
        parts: the others get weight 0.
        newcomers: weights of users without history are learned too.
        choices: learned from at most, within sessions and at their starts each.
        questions: asked at most.
        seed: of the sampling.
        min_gain: how much better in NDCG@10 is better enough.
        on_step: told (done, of how many).

    Raises:
        TooFewError: fewer than 20 choices, or questions.
    """
    firsts = np.flatnonzero(stream.first)
    learned = firsts[int(LEARN_FROM * len(firsts)) : int(JUDGE_FROM * len(firsts))]
    asked = evenly(firsts[int(JUDGE_FROM * len(firsts)) :], questions)
    replayed = ReplayedWorker(settings, stream, known)
    replayed.sequence = sequence
    choosing = ChoiceSampler(replayed, stream, known, choices, np.random.default_rng(seed))
    sampled = choosing.sample(learned)
    total = len(sampled) + len(asked)
    for done, at in enumerate(sampled.tolist()):
        choosing.note(at)
        on_step(done, total)
    if len(choosing) < MIN_QUESTIONS or len(asked) < MIN_QUESTIONS:
        raise TooFewError(f"{len(choosing)} choices and {len(asked)} questions; each must be {MIN_QUESTIONS} at least")
    challenger = learn(choosing.choices(), champion, parts, FitOptions(), newcomers=newcomers)
    scores: list[list[float]] = [[], []]
    for done, at in enumerate(asked.tolist()):
        inputs = choosing.inputs(at)
        for each, weights in zip(scores, (champion, challenger), strict=True):
            each.append(choosing.rank_of_chosen(inputs, at, weights))
        on_step(len(sampled) + done, total)
    before, after = (judged(np.array(ranks)) for ranks in scores)
    return FitResult(challenger, len(choosing), before, after, int(stream.time_ms[sampled[-1]]), min_gain)


def judged(ranks: NDArray[np.float64]) -> Judged:
    """Of (q,) ranks of what was chosen, from 1."""
    return Judged(np.where(ranks <= 10, 1.0 / np.log2(ranks + 1.0), 0.0), ranks <= 10)


def _means(score: Judged) -> dict[str, float]:
    return {"ndcg@10": float(score.ndcg.mean()), "hr@10": float(score.hit.mean())}


class StrengthResult(NamedTuple):
    """What other strengths would be worth."""

    strengths: dict[str, float]
    """Of all actions: the best that was found."""
    tried: dict[str, dict[float, float]]
    """NDCG@10 by action and strength."""
    before: float
    after: float

    def changed(self, settings: Settings) -> dict[str, float]:
        """Those of `strengths` that are not as in the settings."""
        current: dict[str, float] = dict(zip(ACTIONS, settings.strengths(), strict=True))
        return {action: strength for action, strength in self.strengths.items() if strength != current[action]}


def train_strengths(
    settings: Settings,
    stream: Stream,
    known: Known,
    weights: RankingWeights,
    *,
    questions: int = 1_000,
    on_step: OnStep = lambda *_: None,
) -> StrengthResult:
    """Try each action's strength at half and at twice what it is, with everything else as it serves.

    The questions are spread over the last part of the stream; one pass asks each of them under every strength. A change counts
    only if it is better by more than one standard error, paired by question.
    """
    firsts = np.flatnonzero(stream.first)
    asked = evenly(firsts[int(JUDGE_FROM * len(firsts)) :], questions)
    if len(asked) < MIN_QUESTIONS:
        raise TooFewError(f"{len(asked)} questions; there must be {MIN_QUESTIONS} at least")
    current: dict[str, float] = dict(zip(ACTIONS, settings.strengths(), strict=True))
    used = {ACTIONS[code] for code in np.unique(stream.action).tolist()}
    trials: list[dict[str, float]] = [{}] + [
        {action: round(strength * step, 6)}
        for action, strength in current.items()
        if strength and action in used and action != "query"
        for step in STEPS
    ]
    replayed = ReplayedWorker(settings, stream, known)
    choosing = ChoiceSampler(replayed, stream, known, 1, np.random.default_rng(0))
    ranks = np.empty((len(trials), len(asked)))
    for done, at in enumerate(asked.tolist()):
        for row, trial in enumerate(trials):
            strengths = np.array([trial.get(action, strength) for action, strength in current.items()])
            ranks[row, done] = choosing.rank_of_chosen(choosing.inputs(at, strengths), at, weights)
        on_step(done, len(asked))
    gains = np.stack([judged(row).ndcg for row in ranks])
    better = gains - gains[0]
    error = better.std(axis=1, ddof=1) / np.sqrt(len(asked))
    best, tried = dict(current), dict[str, dict[float, float]]()
    after = float(gains[0].mean())
    lead: dict[str, float] = {}
    for row, trial in enumerate(trials[1:], start=1):
        ((action, strength),) = trial.items()
        mean = float(better[row].mean())
        tried.setdefault(action, {})[strength] = float(gains[row].mean())
        if mean > error[row] and mean > lead.get(action, 0.0):
            lead[action], best[action] = mean, strength
            after = max(after, float(gains[row].mean()))
    return StrengthResult(best, tried, float(gains[0].mean()), after)

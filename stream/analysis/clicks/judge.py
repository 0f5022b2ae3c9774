"""How true the stated probabilities of a click are, on events with impressions: stated first, then learned.

The stream is replayed through the worker's code (`stream.analysis.replayed`). A list is what one user was shown at one time;
its items are scored as of that moment, whether or not Penchant would have listed them, and every contender states its
probabilities. What became of them is learned when `models.learning.click_examples` says so, a window later, as a worker does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.baselines.theta_uv import ShownPairs, fit_best, past_vector, predict
from models.evaluation.bootstrap import Resamples
from models.evaluation.click_contenders import (
    ClickContender,
    GlobalRate,
    Learned,
    ScoreOnly,
    SlotRate,
    Stated,
)
from models.evaluation.click_figures import figures, log_loss_minus, point_losses
from models.evaluation.contract import Known, Stream
from models.evaluation.exposures import Exposures, exposures
from models.learning.click_examples import ClickExamples, Counts
from models.ranking.features import PARTS
from models.ranking.parts import shown_parts
from models.ranking.weights import RankingWeights
from models.vocabulary import CLICK, IMPRESSION
from stream.analysis.replayed import ReplayedWorker, UserInputs
from stream.errors import UsageError
from stream.settings import Settings

OURS: Final = "penchant_online"
BATCH: Final = {"batch_theta_uv": False, "batch_theta_uv_product": True}
"""By name: whether products are among the features."""

FIRST: Final = (100, 1000, 10_000)
"""How a model does on its very first exposures is reported for so many."""

SWITCH_AT_CLICKS: Final = (10, 100)
"""Beside it: the calibration until so many clicks were learned, then the model."""

_RESAMPLES: Final = 300


class Replay(NamedTuple):
    """What was stated of m exposures, before anything about them was known."""

    shown: Exposures
    stated: dict[str, NDArray[np.float64]]
    """(m,) by contender; NaN where the item must not be listed, which is left out of every figure."""
    learned_clicks: NDArray[np.int64]
    """(m,) How many clicks had been learned by then."""
    users: NDArray[np.float32]
    """(slates, d) u of each list; d = 0 without text."""
    model: Learned
    counts: Counts
    """What did not become an example."""


def find_exposures(stream: Stream, window_ms: int, limit: int | None) -> Exposures:
    """Those of the stream, the first `limit` of them, in whole lists.

    Raises:
        UsageError: there are none, or none was clicked.
    """
    found = exposures(stream, IMPRESSION, CLICK, window_ms)
    if limit is not None and limit < len(found.at):
        stop = int(np.searchsorted(found.slate, found.slate[limit], side="left")) or limit
        found = Exposures(found.at[:stop], found.slate[:stop], found.clicked[:stop])
    if not found.clicked.any():
        raise UsageError(
            "The events hold no impression that was clicked.",
            "map action to `impression` and `click`, and give both; see deploy/docs/clicks.md",
        )
    return found


def replay(
    settings: Settings,
    stream: Stream,
    known: Known,
    shown: Exposures,
    weights: RankingWeights,
    window_ms: int,
    on_step: Callable[[int, int], None] = lambda *_: None,
) -> Replay:
    """State, wait, learn: one pass over the stream, to its last exposure."""
    ours = Learned(weights.calibration)
    contenders: dict[str, ClickContender] = {
        OURS: ours,
        "calibration": Stated(weights.calibration),
        "score_only": ScoreOnly(weights.calibration),
        "slot_rate": SlotRate(),
        "global_rate": GlobalRate(),
    }
    live = _Live(settings, stream, known, weights, contenders, window_ms)
    m = len(shown.at)
    stated = {name: np.full(m, np.nan) for name in contenders}
    clicks, users = np.zeros(m, np.int64), []
    starts = np.append(np.flatnonzero(np.diff(shown.slate, prepend=-1)), m)
    for number in range(len(starts) - 1):
        rows = slice(int(starts[number]), int(starts[number + 1]))
        live.learn_until(int(shown.at[rows.start]))
        clicks[rows] = ours.model.n_clicks
        listed, said, past = live.state(shown.at[rows], number)
        for name, values in said.items():
            stated[name][rows][listed] = values
        users.append(past)
        if number % max(1, (len(starts) - 1) // 100) == 0:
            on_step(number, len(starts) - 1)
    on_step(len(starts) - 1, len(starts) - 1)
    return Replay(shown, stated, clicks, np.array(users, np.float32), ours, live.examples.counts)


class _Live:
    """The replayed worker, what has been shown, and who states probabilities."""

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        known: Known,
        weights: RankingWeights,
        contenders: dict[str, ClickContender],
        window_ms: int,
    ) -> None:
        self._stream, self._weights, self._contenders = stream, weights, contenders
        self._replayed = ReplayedWorker(settings, stream, known)
        self.examples = ClickExamples(window_ms, max_users=max(1, known.n_users))
        self._hashes = self._replayed.index.hash_of(self._replayed.number.astype(np.int64))
        self._outcomes = np.flatnonzero((stream.action == IMPRESSION) | (stream.action == CLICK))
        self._next = 0
        texts = known.text_vectors
        self._vectors = np.zeros((len(self._replayed.index), 0 if texts is None else texts.shape[1]), np.float32)
        if texts is not None:
            self._vectors[self._replayed.number] = texts

    def learn_until(self, at: int) -> None:
        """Everything before event `at` has happened, and what is decided by then is learned."""
        self._replayed.advance(at)
        while self._next < len(self._outcomes) and self._outcomes[self._next] < at:
            self._tell(int(self._outcomes[self._next]))
            self._next += 1
        examples = self.examples.due(int(self._stream.time_ms[at]))
        if len(examples.slot):
            for contender in self._contenders.values():
                contender.learn(examples)

    def state(
        self, at: NDArray[np.int64], number: int
    ) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]], NDArray[np.float32]]:
        """`(which may be listed, probabilities of those, u)` of the list shown by the events `at`."""
        user, now_ms = int(self._stream.user[at[0]]), int(self._stream.time_ms[at[0]])
        inputs = self._replayed.inputs(user, now_ms)
        items = self._stream.item[at]
        parts = shown_parts(
            inputs.question,
            self._replayed.number[items],
            items=self._replayed.items(),
            priors=self._replayed.priors(now_ms),
            weights=self._weights,
            semantics=inputs.text,
            sequence=inputs.sequence,
        )
        listed = ~np.isnan(parts[:, 0])
        parts, slot = parts[listed], self._stream.slot[at][listed].astype(np.int64)
        name = number.to_bytes(16)
        self.examples.published(_key(user), name, self._hashes[items[listed]], parts.astype(np.float32), now_ms, slot)
        said = {name: contender.predict(parts, slot) for name, contender in self._contenders.items()}
        return listed, said, self._past(inputs)

    def _past(self, inputs: UserInputs) -> NDArray[np.float32]:
        history, gains = inputs.question.history[0], inputs.question.gains[0]
        usable = (history >= 0) & (gains != 0)
        return past_vector(self._vectors[history[usable]], gains[usable])

    def _tell(self, at: int) -> None:
        stream = self._stream
        item, user, at_ms = int(stream.item[at]), _key(int(stream.user[at])), int(stream.time_ms[at])
        if item < 0:
            return
        if stream.action[at] == IMPRESSION:
            self.examples.exposed(user, None, int(self._hashes[item]), int(stream.slot[at]), at_ms)
        else:
            self.examples.clicked(user, None, int(self._hashes[item]), at_ms)


def _key(user: int) -> bytes:
    return user.to_bytes(4)


def add_batch_models(
    replayed: Replay, stream: Stream, known: Known, train: int, seed: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any], dict[str, str]]:
    """`(probabilities by name, what training found, skipped and why)` of models trained on the first `train` exposures."""
    if known.text_vectors is None:
        return {}, {}, dict.fromkeys(BATCH, "needs text vectors: give --items and an encoder")
    stated, told, skipped = dict[str, NDArray[np.float64]](), dict[str, Any](), dict[str, str]()
    shown = replayed.shown
    for name, with_product in BATCH.items():
        slate = shown.slate - shown.slate[0]
        pairs = ShownPairs(
            replayed.users, known.text_vectors, slate, stream.item[shown.at].astype(np.int64), with_product
        )
        try:
            found = fit_best(pairs, shown.clicked, train, seed)
        except ValueError as error:
            skipped[name] = str(error)
            continue
        stated[name] = predict(pairs, found.theta, np.arange(len(shown.at)))
        told[name] = {
            "epochs": found.epochs,
            "learning_rate": found.learning_rate,
            "validation_log_loss": found.validation_loss,
            "features": pairs.size,
        }
    return stated, told, skipped


def report_of(replayed: Replay, stream: Stream, known: Known, train: int, seed: int) -> dict[str, Any]:
    """Every figure, as JSON has it: of the exposures after the first `train`.

    Raises:
        UsageError: there is nothing to judge by.
    """
    shown = replayed.shown
    batch, told, skipped = add_batch_models(replayed, stream, known, train, seed)
    stated = replayed.stated | batch
    judged = ~np.isnan(replayed.stated[OURS])
    first = np.flatnonzero(judged)
    judged[:train] = False
    clicked = shown.clicked[judged]
    if clicked.all() or not clicked.any():
        raise UsageError(
            "The judged exposures have no click, or nothing else.", "give more events, or another --warm-up"
        )
    user = stream.user[shown.at[judged]]
    resamples = Resamples(user, seed, _RESAMPLES)
    return {
        "exposures": {"all": len(shown.at), "judged": int(judged.sum()), "not_listable": len(shown.at) - len(first)},
        "clicks": {"all": int(shown.clicked.sum()), "judged": int(clicked.sum())},
        "users": int(np.unique(user).size),
        "lists": int(np.unique(shown.slate).size),
        "models": {name: {"probability": figures(p[judged], clicked, resamples)} for name, p in stated.items()},
        "log_loss_minus": {
            name: log_loss_minus(stated[OURS][judged], p[judged], clicked, resamples)
            for name, p in stated.items()
            if name != OURS
        },
        "first": _first(replayed, first),
        "batch": told,
        "skipped": skipped,
        "text": _coverage(replayed, stream, known, judged),
        "learned": _learned(replayed.model),
        "not_learned": asdict(replayed.counts),
    }


def _first(replayed: Replay, rows: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Mean log loss of the first exposures: gradual, the calibration alone, and the same with a switch between them."""
    told = {}
    for n in FIRST:
        use = rows[:n]
        if len(use) < n:
            break
        clicked, ours = replayed.shown.clicked[use], replayed.stated[OURS][use]
        prior = replayed.stated["calibration"][use]
        known = replayed.learned_clicks[use]
        variants = {"gradual": ours, "calibration": prior}
        variants |= {f"switch_at_{k}_clicks": np.where(known < k, prior, ours) for k in SWITCH_AT_CLICKS}
        told[str(n)] = {name: float(point_losses(p, clicked).mean()) for name, p in variants.items()}
    return told


def _coverage(replayed: Replay, stream: Stream, known: Known, judged: NDArray[np.bool_]) -> dict[str, float]:
    """Shares of the judged exposures whose item, whose user, and of whom both have a text vector."""
    if known.text_vectors is None:
        return {"items": 0.0, "users": 0.0, "both": 0.0}
    shown = replayed.shown
    item = np.any(known.text_vectors != 0, axis=1)[stream.item[shown.at[judged]]]
    user = np.any(replayed.users != 0, axis=1)[shown.slate[judged] - shown.slate[0]]
    return {"items": float(item.mean()), "users": float(user.mean()), "both": float((item & user).mean())}


def _learned(ours: Learned) -> dict[str, Any]:
    model, weights = ours.model, ours.model.weights()
    return {
        "examples": model.n_examples,
        "clicks": model.n_clicks,
        "intercept": model.prior.intercept + float(weights[0]),
        "parts": dict(zip(PARTS, (model.prior.slope + weights[1 : 1 + len(PARTS)]).tolist(), strict=True)),
        "slots": weights[1 + len(PARTS) :].tolist(),
    }

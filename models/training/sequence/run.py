"""Train a sequence model; keep it only if it serves later users better than what serves now.

Three windows of time, strictly one after the other: the first is learned from, the second says after how many epochs to
stop, and the third, which nothing was chosen by, decides. A model that is kept is then trained anew, for as many epochs, on
all three: what is newest matters most, and an item that appeared in the last window gets its learned part.

Private training (`models.training.sequence.private`) makes all epochs, whatever the second window says: to stop by it would
spend privacy that nobody accounted for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.sequence.export import refuse_other
from models.training import checkpoint
from models.training.engagements import Engagements, between, split
from models.training.precision import precision_name
from models.training.result import TrainingResult, gain_and_error
from models.training.sequence.evaluation import (
    ItemScores,
    first_seen,
    gains,
    metrics,
    questions,
    ranks,
    slices,
)
from models.training.sequence.histories import Histories, histories
from models.training.sequence.incumbent import champion, popularity, refuse_unfair
from models.training.sequence.keeping import keep
from models.training.sequence.losses import loss_kind
from models.training.sequence.private import PrivateTrainer
from models.training.sequence.settings import SequenceSettings
from models.training.sequence.texts import scaled, scaling
from models.training.sequence.trainer import Trainer

Phase = Literal["choosing", "final"]


class Corpus(NamedTuple):
    """What to learn from."""

    ids: list[str]
    """n distinct item ids; an item's number in the events is its place here."""
    events: Engagements
    texts: NDArray[np.float32] | None = None
    """(n, dims) unit text vectors, zeros where an item has no text; None: without text."""
    text_model: str | None = None
    """Version of the encoder that made them."""


class Look(NamedTuple):
    """What `on_step` is told after every step."""

    phase: Phase
    epoch: int
    epochs: int
    """At most, while choosing."""
    step: int
    loss: float
    metric: float | None
    """NDCG at 10 of the validation window, where an epoch ended."""


OnStep = Callable[[Look], None]


def train(
    corpus: Corpus,
    settings: SequenceSettings,
    out: Path,
    *,
    champion_directory: Path | None = None,
    restart: bool = False,
    on_step: OnStep = lambda _: None,
) -> TrainingResult:
    """Train, measure, and write `out` if it is better. A run that was interrupted goes on from its checkpoint.

    Args:
        corpus: the events, and the items' texts.
        settings: how.
        out: where the model goes; an older sequence model there is replaced.
        champion_directory: the model that serves; None: better than counting is good enough.
        restart: forget the checkpoint.
        on_step: told after every step.

    Raises:
        ModelError: too few events, `out` is something else, a checkpoint of another run, a champion that has seen everything, a
            loss that is not finite, or an export that is not the network.
    """
    refuse_other(out)
    run = _Run(corpus, settings, champion_directory, checkpoint.checkpoint_of(out))
    if restart:
        checkpoint.remove(run.directory)
    run.begin()
    run.choose(on_step)
    report = run.measure()
    if report["kept"]:
        run.train_on_everything(on_step)
        report |= run.account()
        report = keep(run.trainer, corpus.ids, run.scaling, corpus.text_model, run.newest_ms, settings, report, out)
    checkpoint.remove(run.directory)
    return TrainingResult(report["kept"], report)


class _Run:
    """One training run."""

    def __init__(
        self, corpus: Corpus, settings: SequenceSettings, champion_directory: Path | None, directory: Path
    ) -> None:
        import torch

        events = corpus.events
        edges = split(events.time_ms, settings.validation_share, settings.test_share)
        if edges is None:
            raise ModelError(
                "the events cannot be split into past, validation and test.", "give events of a longer time"
            )
        self.corpus, self.settings, self.directory = corpus, settings, directory
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.newest_ms = int(events.time_ms.max())
        self.all = histories(events)
        self.seen_ms = first_seen(self.all, len(corpus.ids))
        self.scaling = None if corpus.texts is None else scaling(corpus.texts)
        self.texts = None if corpus.texts is None or self.scaling is None else scaled(corpus.texts, self.scaling)
        past = histories(between(events, None, edges.test_ms))
        self.incumbent = (
            popularity(past, len(corpus.ids), edges.test_ms)
            if champion_directory is None
            else champion(champion_directory, corpus.ids, corpus.texts, corpus.text_model)
        )
        refuse_unfair(self.incumbent, self.newest_ms)
        # A champion that was trained later than the window begins is asked about what came after that, as is the challenger.
        self.test_ms = max(edges.test_ms, self.incumbent.trained_until_ms + 1)
        self.validation_rows = questions(
            self.all, edges.validation_ms, edges.test_ms, settings.max_questions, settings.seed
        )
        self.test_rows = questions(self.all, self.test_ms, None, None, settings.seed)
        self.chooser = self._trainer(histories(between(events, None, edges.validation_ms)))
        self.trainer = self.chooser
        """The one whose turn it is."""
        self.phase: Phase = "choosing"
        self.losses: list[float] = []
        self.looks: list[dict[str, Any]] = []
        self.best_epoch, self.best_metric = 0, -math.inf
        self.best: dict[str, Any] | None = None
        self.fingerprint = checkpoint.fingerprint(
            settings, corpus.ids, *events, corpus.texts, corpus.text_model, self.incumbent.name
        )

    def begin(self) -> None:
        """Go on from the checkpoint, if there is one."""
        state = checkpoint.load(self.directory, self.fingerprint)
        if state is None:
            return
        self.losses, self.looks, self.best = state["losses"], state["looks"], state["best"]
        self.best_epoch, self.best_metric = state["best_epoch"], state["best_metric"]
        self._enter(state["phase"])
        self.trainer.restore(state["trainer"])

    def choose(self, on_step: OnStep) -> None:
        """To the last epoch, or until NDCG has not risen for `patience` of them; ends at the best weights."""
        settings = self.settings
        if self.phase != "choosing":
            return
        patience = settings.patience if settings.private_epsilon is None else settings.epochs
        while self.trainer.epoch < settings.epochs and self.trainer.epoch - self.best_epoch < patience:
            loss = self.trainer.train_step()
            self.losses.append(loss)
            metric = self._look() if self.trainer.is_between_epochs else None
            self._after_step(loss, metric, settings.epochs, on_step)
        assert self.best is not None, "the first epoch was looked at"

    def measure(self) -> dict[str, Any]:
        """The report: what the chosen weights are worth beside the incumbent, on a window that had no say so far."""
        judge = self.chooser
        judge.set_weights(self.best or {})
        found = self._ranks(judge.queries, judge.items(), self.settings.length)
        other = self._ranks(self.incumbent.queries, self.incumbent.items, self.incumbent.length)
        gain, error = gain_and_error(gains(other), gains(found))
        trained = np.zeros(len(self.corpus.ids), np.bool_)
        trained[self.all.item[self.all.time_ms < self.test_ms]] = True
        cut = {
            name: {
                "questions": int(inside.sum()),
                "challenger": float(gains(found[inside]).mean()) if inside.any() else None,
                "incumbent": float(gains(other[inside]).mean()) if inside.any() else None,
            }
            for name, inside in slices(self.all, self.test_rows, trained).items()
        }
        return {
            "kept": gain > self.settings.min_gain,
            "gain": gain,
            "standard_error": error,
            "incumbent": self.incumbent.name,
            "test": {
                "challenger": metrics(found)._asdict(),
                "incumbent": metrics(other)._asdict(),
                "ndcg_by_slice": cut,
            },
            "epochs": self.best_epoch,
            "events": int(self.all.item.size),
            "items": len(self.corpus.ids),
            "loss": loss_kind(self.settings, int(judge.trained.sum())),
            "text_model": self.corpus.text_model,
            "device": self.device.type,
            "precision": precision_name(judge.half),
            "settings": self.settings._asdict(),
            "losses": self.losses,
            "looks": self.looks,
        } | self.account()

    def account(self) -> dict[str, Any]:
        """What the trainer whose turn it is has spent of people's privacy; nothing where it is not private."""
        return {"privacy": self.trainer.account()} if isinstance(self.trainer, PrivateTrainer) else {}

    def train_on_everything(self, on_step: OnStep) -> None:
        """From the beginning, on all events, for as many epochs as were best."""
        if self.phase != "final":
            self._enter("final")
        while self.trainer.epoch < self.best_epoch:
            loss = self.trainer.train_step()
            self._after_step(loss, None, self.best_epoch, on_step)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if phase == "final" and self.trainer is self.chooser:
            self.trainer = self._trainer(self.all)

    def _trainer(self, events: Histories) -> Trainer:
        kind = Trainer if self.settings.private_epsilon is None else PrivateTrainer
        return kind(events, len(self.corpus.ids), self.texts, self.settings, self.device)

    def _look(self) -> float:
        """Measure the validation window and remember the weights if they are the best."""
        found = metrics(
            self._ranks(self.trainer.queries, self.trainer.items(), self.settings.length, self.validation_rows)
        )
        self.looks.append({"step": self.trainer.step, "epoch": self.trainer.epoch, "ndcg": found.ndcg, "hr": found.hr})
        if found.ndcg > self.best_metric or self.settings.private_epsilon is not None:  # then the last ones are taken
            self.best_metric, self.best_epoch, self.best = found.ndcg, self.trainer.epoch, self.trainer.weights()
        return found.ndcg

    def _after_step(self, loss: float, metric: float | None, epochs: int, on_step: OnStep) -> None:
        step = self.trainer.step
        if step % self.settings.checkpoint_steps == 0 or metric is not None:
            checkpoint.save(self.directory, self._state())
        on_step(Look(self.phase, self.trainer.epoch, epochs, step, loss, metric))

    def _ranks(
        self, ask: Any, items: ItemScores, length: int, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        return ranks(self.all, self.test_rows if rows is None else rows, self.seen_ms, ask, items, length)

    def _state(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint, "phase": self.phase, "losses": self.losses, "looks": self.looks,
            "best": self.best, "best_epoch": self.best_epoch, "best_metric": self.best_metric,
            "trainer": self.trainer.state(),
        }  # fmt: skip

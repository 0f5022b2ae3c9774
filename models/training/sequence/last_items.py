"""The sequence model as a contender of `models.evaluation.last_items`: trained as published ones are, query time known or not.

Validation items say after which epoch to stop, and are not learned from. Nothing is exported.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from models.encoder.errors import ModelError
from models.evaluation.contract import Answer, Known, Stream, UnavailableError
from models.evaluation.last_items import LastItems
from models.training.engagements import engagements
from models.training.sequence.evaluation import metrics, ranks
from models.training.sequence.histories import before, histories
from models.training.sequence.losses import loss_kind
from models.training.sequence.settings import SequenceSettings
from models.training.sequence.texts import scaled, scaling
from models.training.sequence.trainer import Trainer


class SequenceOfLastItems:
    """See `models.evaluation.contract.Contender`; asked about the last items only."""

    def __init__(
        self,
        cut: LastItems,
        settings: SequenceSettings,
        *,
        query_time: bool,
        on_epoch: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """A fresh one.

        Args:
            cut: what it will warm up on and be asked about.
            settings: how it is trained.
            query_time: whether it is told when the next item is had; if not, it only knows when each item of the past was.
            on_epoch: told (epochs done, at most).

        Raises:
            UnavailableError: torch is not installed.
        """
        if find_spec("torch") is None:
            raise UnavailableError("needs torch: pip install 'penchant[train]'")
        self._cut, self._settings, self._query_time, self._on_epoch = cut, settings, query_time, on_epoch
        self.chosen: dict[str, Any] = {}

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        """Train on the first part, stop by the second.

        Raises:
            UnavailableError: the loss is not finite.
        """
        import torch

        cut, settings = self._cut, self._settings
        assert end == cut.test_at
        every = engagements(stream.user, stream.item, stream.time_ms)
        everything = histories(every)
        learned = slice(0, cut.validation_at)
        past = histories(engagements(stream.user[learned], stream.item[learned], stream.time_ms[learned]))
        last = np.flatnonzero(np.diff(every.user, append=-1))
        asked = last[np.isin(every.user[last], stream.user[end:])]
        texts = known.text_vectors
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        trainer = Trainer(
            past,
            known.n_items,
            None if texts is None else scaled(texts, scaling(texts)),
            settings,
            device,
            query_time=self._query_time,
        )
        always = np.full(known.n_items, np.iinfo(np.int64).min)  # every item is ranked, whenever anybody had it first
        best, best_epoch, weights = -1.0, 0, trainer.weights()
        try:
            while trainer.epoch < settings.epochs and trainer.epoch - best_epoch < settings.patience:
                trainer.train_step()
                if not trainer.is_between_epochs:
                    continue
                found = metrics(
                    ranks(everything, asked - 1, always, trainer.queries, trainer.items(), settings.length)
                ).ndcg
                if found > best:
                    best, best_epoch, weights = found, trainer.epoch, trainer.weights()
                self._on_epoch(trainer.epoch, settings.epochs)
        except ModelError as error:
            raise UnavailableError(error.message) from None
        self._on_epoch(settings.epochs, settings.epochs)
        trainer.set_weights(weights)
        self.chosen = {
            "epochs": best_epoch,
            "ndcg@10 on the validation items": round(best, 6),
            "loss": loss_kind(settings, int(trainer.trained.sum())),
        }
        self._users, self._user_of = every.user[asked], stream.user
        self._items, self._queries = trainer.items(), trainer.queries(before(everything, asked, settings.length))

    def ask(self, at: int) -> Answer:
        """Of every item; one that nobody is learned from with stands where its text puts it."""
        query = self._queries[np.searchsorted(self._users, self._user_of[at])]
        return Answer((self._items.vectors @ query + self._items.biases).astype(np.float64))

    def learn(self, at: int) -> None:
        """Nothing: nothing comes after a last item."""

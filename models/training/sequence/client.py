"""The sequence model as a client of a federation learns it: some epochs of its own people's histories a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.arrays import F8, I8
from models.encoder.errors import ModelError
from models.training.engagements import Engagements, between, engagements, split
from models.training.sequence.evaluation import ItemScores, first_seen, gains, questions, ranks
from models.training.sequence.histories import Histories, histories
from models.training.sequence.settings import SequenceSettings
from models.training.sequence.trainer import Trainer

EPOCHS = 1
"""Of a round."""


class SequenceClient:
    """A shop: its past to learn from, a validation window that says in which round to stop, and a test window that decides."""

    def __init__(
        self, events: Engagements, n_items: int, settings: SequenceSettings, seen_ms: I8 | None = None
    ) -> None:
        """`events`: items numbered as all clients number them, below `n_items`; `seen_ms`: when an item may be ranked, as
        `first_seen` says of events; None: when this shop had it.

        Raises:
            ModelError: there is no test window.
        """
        import torch

        edges = split(events.time_ms, settings.validation_share, settings.test_share)
        if edges is None:
            raise ModelError(
                "the events cannot be split into past, validation and test.", "give events of a longer time"
            )
        self._n_items, self._settings = n_items, settings
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.all: Histories = histories(events)
        self.past: Histories = histories(between(events, None, edges.validation_ms))
        most, seed = settings.max_questions, settings.seed
        self.validation_rows = questions(self.all, edges.validation_ms, edges.test_ms, most, seed)
        self.test_rows = questions(self.all, edges.test_ms, None, most, seed)
        self._seen_ms = first_seen(self.all, n_items) if seen_ms is None else seen_ms

    @classmethod
    def of_pasts(cls, clients: Sequence[SequenceClient], people: int) -> SequenceClient:
        """Who has the pasts of all these shops, whose people (fewer than `people`) are different ones; asked nothing."""
        pooled = cls.__new__(cls)
        first = clients[0]
        pooled._n_items, pooled._settings, pooled._device = first._n_items, first._settings, first._device
        user = [np.unique(c.past.start, return_inverse=True)[1] + people * k for k, c in enumerate(clients)]
        events = engagements(
            np.concatenate(user).astype(np.int32),
            np.concatenate([c.past.item for c in clients]),
            np.concatenate([c.past.time_ms for c in clients]),
        )
        pooled.all = pooled.past = histories(events)
        pooled.validation_rows = pooled.test_rows = np.zeros(0, np.int64)
        pooled._seen_ms = first._seen_ms
        return pooled

    def train(self, given: Mapping[str, F8], config: Mapping[str, Any]) -> tuple[dict[str, F8], int]:
        """A round: from the model of all, some epochs of the own histories; and how many engagements these have."""
        number = int(config.get("seed_round", config.get("round", 1)))
        settings = self._settings._replace(seed=self._settings.seed + 1000 * number, warmup_steps=0)
        trainer = Trainer(self.past, self._n_items, None, settings, self._device)
        trainer.set_weights(_tensors(given))
        for _ in range(int(config.get("epochs", EPOCHS))):
            trainer.train_step()
            while not trainer.is_between_epochs:
                trainer.train_step()
        return _arrays(trainer), int(self.past.item.size)

    def judge(self, given: Mapping[str, F8], rows: I8 | None = None) -> F8:
        """(q,) NDCG@10 of the questions `rows`; None: of the test window."""
        trainer = Trainer(self.past, self._n_items, None, self._settings, self._device)
        trainer.set_weights(_tensors(given))
        items: ItemScores = trainer.items()
        asked = self.test_rows if rows is None else rows
        found = ranks(self.all, asked, self._seen_ms, trainer.queries, items, self._settings.length)
        return gains(found)


def initial(n_items: int, settings: SequenceSettings) -> dict[str, F8]:
    """Where a federation begins: a network that has learned nothing. Items have no learned part before somebody learns it."""
    from models.training.sequence.network import network

    found = {name: p.detach().numpy().copy() for name, p in network(settings, n_items, None).named_parameters()}
    found["learned"] = np.zeros_like(found["learned"]) + 0.1 * found["learned"]
    return found


def _tensors(arrays: Mapping[str, F8]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.array(value, np.float32)) for name, value in arrays.items()}


def _arrays(trainer: Trainer) -> dict[str, F8]:
    return {name: value.numpy() for name, value in trainer.weights().items()}

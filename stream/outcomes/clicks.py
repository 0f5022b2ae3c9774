"""Click probabilities of one partition's users: learned from what they were shown and clicked, kept with their states.

Lists that wait for their impressions and clicks are in memory only; what has been learned from is in the changelog, in the
transaction of the commit. A crash forgets the former and repeats nothing of the latter: an event that is read again is fenced.
Each partition learns for itself, from its own users; the model has some thirty numbers, and so needs no more.

Nothing is kept of lists before the first impression: where nobody reports any there is nothing to learn, and it costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.learning.click_examples import ClickExamples
from models.learning.click_model import ClickModel
from models.ranking.weights import Calibration
from models.vocabulary import CLICK, IMPRESSION
from stream.outcomes.crediting import Referrals
from stream.state.update import EventColumns
from stream.storage.rocks import PartitionStore

logger = logging.getLogger(__name__)

CLICKS_KEY = b"\xfdclick-model"
"""In the changelog; no user id begins like that."""


class PartitionClicks:
    """The model of one partition, and the lists that it may learn from."""

    def __init__(self, store: PartitionStore) -> None:
        (stored,) = store.get_many([CLICKS_KEY])
        self.model: ClickModel | None = None
        try:
            self.model = None if stored is None else ClickModel.from_bytes(stored)
        except ValueError as error:  # of another release, say: what it knew is soon learned again
            logger.warning("%s: %s; click probabilities are learned anew. Nothing to do", store.path, error)
        self._examples = ClickExamples()
        self._has_impressions = False

    def happened(
        self, keys: Sequence[bytes], events: EventColumns, referrals: Referrals, applied: NDArray[np.bool_]
    ) -> None:
        """Impressions and clicks among the events of a chunk that were applied."""
        told = np.flatnonzero(applied & ((events.action == IMPRESSION) | (events.action == CLICK)))
        if not len(told):
            return
        self._has_impressions = self._has_impressions or bool((events.action[told] == IMPRESSION).any())
        if not self._has_impressions:
            return
        examples = self._examples
        for at, item, action, slot, time_ms, (high, low) in zip(
            told.tolist(),
            events.item[told].tolist(),
            events.action[told].tolist(),
            events.slot[told].tolist(),
            events.time_ms[told].tolist(),
            referrals.list_id[told].tolist(),
            strict=True,
        ):
            named = (high << 64 | low).to_bytes(16, "big") if high or low else None
            if action == IMPRESSION:
                examples.exposed(keys[at], named, item, slot, time_ms)
            else:
                examples.clicked(keys[at], named, item, time_ms)

    def published(
        self,
        keys: Sequence[bytes],
        ids: Sequence[str],
        items: Sequence[NDArray[np.uint64]],
        parts: Sequence[NDArray[np.float32]],
        at_ms: int,
    ) -> None:
        """Lists went out: their 32-digit ids, item hashes (k,), and parts (k, P)."""
        if self._has_impressions:
            for key, list_id, hashes, of_items in zip(keys, ids, items, parts, strict=True):
                self._examples.published(key, bytes.fromhex(list_id), hashes, of_items, at_ms)

    def probability(self, parts: NDArray[np.float64], slot: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """(n,) float64 of items with parts (n, P) in slots (n,); None as long as nothing has been learned."""
        return None if self.model is None else self.model.predict(parts, slot)

    def forget(self, user: bytes) -> None:
        """Nothing more is learned from this person."""
        self._examples.forget(user)

    def learn(self, now_ms: int, prior: Calibration) -> list[tuple[bytes, bytes]]:
        """Learn from what has been decided by `now_ms`, in event time; what to write where that changed the model."""
        due = self._examples.due(now_ms)
        if not len(due.slot):
            return []
        try:
            model = ClickModel.start(prior) if self.model is None else self.model
            self.model = model.learn(due.parts, due.slot, due.clicked)
        except ValueError as error:  # examples are an extra: the commit goes on without them
            logger.error(
                "%d examples of clicks cannot be learned from: %s. Fix: report it with these lines",
                *(len(due.slot), error),
            )
            return []
        return [(CLICKS_KEY, self.model.to_bytes())]

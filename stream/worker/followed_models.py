"""Which versions rank: what the settings name, until the models topic names others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from models.sequence.model import SequenceModel
from stream.refresh.sequence import load_version, open_sequence
from stream.refresh.versions import ModelsTopic, RankerModel, SequenceVersion, read_weights
from stream.settings import Settings
from stream.worker.tracker import Tracker

logger = logging.getLogger(__name__)


class FollowedModels:
    """Follows the models topic; a sequence model is loaded in a thread, so that lists go on being made."""

    def __init__(
        self, settings: Settings, tracker: Tracker, on_refused: Callable[[], None], wake: Callable[[], None]
    ) -> None:
        """`on_refused` hears of a version that cannot be loaded, `wake` that users became due."""
        self._settings, self._tracker, self._on_refused, self._wake = settings, tracker, on_refused, wake
        self._topic = ModelsTopic()
        self._own_sequence: SequenceModel | None = None
        self._wanted: SequenceVersion | None = None

    def load_own(self) -> None:
        """What the settings name. Blocking.

        Raises:
            UsageError, ModelUnusableError: it cannot be read.
        """
        if self._settings.ranking_weights is not None:
            self._tracker.start_with(read_weights(self._settings.ranking_weights))
        for name, experiment in sorted(self._settings.experiments.items()):
            for arm, path in sorted(experiment.weights.items()):
                self._tracker.use_for_arm(name, arm, read_weights(path))
        if self._settings.sequence_model is not None:
            self._own_sequence = open_sequence(self._settings.sequence_model)
            self._tracker.use_sequence(self._own_sequence, 0.0)

    def replicate(self, records: Iterable[Any]) -> None:
        """Records of the models topic."""
        changed = dict.fromkeys(
            kind for record in records if (kind := self._topic.add(record.key, record.value)) is not None
        )
        for why in self._topic.refused:
            logger.error(
                "a published version is not used, the last usable one serves: %s. Fix: publish one that can be used",
                why,
            )
            self._on_refused()
        self._topic.refused.clear()
        for kind in changed:
            model = self._topic.current[kind]
            if kind == "ranker":
                self._tracker.use_ranker(model if isinstance(model, RankerModel) else None, time.monotonic())
            else:
                self._wanted = model if isinstance(model, SequenceVersion) else None
                self._loading = asyncio.ensure_future(self._load(self._wanted))
        self._wake()

    async def _load(self, version: SequenceVersion | None) -> None:
        """Only the version that is still wanted then serves."""
        model = self._own_sequence
        if version is not None:
            model = await asyncio.to_thread(load_version, version, self._on_refused)
            if model is None:
                return
        if version is self._wanted:
            self._tracker.use_sequence(model, time.monotonic())
            self._wake()

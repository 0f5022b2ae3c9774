"""The sequence model in a worker: which one serves, and what it expects of the users of a refresh batch.

It runs inside the refresh, on the users that are due anyway: two small layers over at most 64 items cost about as much as
ranking them, so a list always reflects the events it says it does, and there is no second queue to be behind. It is no work for
the text micro-batcher, whose items are texts that many ask for; a history is asked for once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4
from models.calendar import HOUR_MS
from models.encoder.errors import ModelError
from models.encoder.manifest import MANIFEST_FILE
from models.items.index import ItemIndex
from models.items.vectors import ItemVectors
from models.ranking.rank import SequenceScores
from models.sequence.expectation import expectation
from models.sequence.model import SequenceModel
from stream.errors import ModelUnusableError
from stream.metrics import Metrics
from stream.refresh.question import first_engagements
from stream.refresh.versions import SequenceVersion
from stream.state.record import States

logger = logging.getLogger(__name__)


class Sequences:
    """One model at a time; a swap takes effect between two batches. All calls but `load` from the event loop's thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._model: SequenceModel | None = None
        self._placed = -1
        self._newcomers: tuple[tuple[str, int, int], I4] | None = None
        """What it expects of somebody without history; of which state of the model, and of which hour."""

    @property
    def model(self) -> SequenceModel | None:
        """The model that serves."""
        return self._model

    @property
    def model_version(self) -> str | None:
        """Of the model that serves; None: there is none."""
        return None if self._model is None else self._model.model_version

    def serve(self, model: SequenceModel | None) -> None:
        """From the next batch on."""
        self._model, self._placed = model, -1
        self._metrics.work.sequence_items.set(0 if model is None else len(model.items))

    def expected(
        self,
        states: States,
        rows: NDArray[np.int64],
        now_ms: NDArray[np.int64],
        index: ItemIndex,
        texts: ItemVectors | None,
    ) -> SequenceScores | None:
        """What it expects of the users `rows` (u,) at `now_ms` (u,), in event time; None without a model."""
        model = self._model
        if model is None:
            return None
        try:
            self._place(model, index, texts)
            expected = expectation(model, *first_engagements(states, rows, model.length), now_ms, index)
        except Exception as error:  # noqa: BLE001  (a runtime raises anything): lists are made without this part
            logger.error(
                "the sequence model %s does not work and is used no more: %s: %s. Fix: publish another, or withdraw it",
                model.model_version, type(error).__name__, error,
            )  # fmt: skip
            self._metrics.work.models_refused.inc()
            self.serve(None)
            return None
        self._metrics.work.sequence_age.set(
            max(0.0, (int(now_ms.max(initial=0)) - model.manifest.trained_until_ms) / 1000.0)
        )
        return expected

    def expected_of_newcomers(
        self, now_ms: int, index: ItemIndex, allowed: NDArray[np.bool_], texts: ItemVectors | None
    ) -> I4:
        """(k,) int32 what it expects of somebody without history, best first, of what may be listed (n,).

        Empty without a model. Asked anew for another model, when items have got a place by their text, and each hour, since a
        model may know the calendar.
        """
        model = self._model
        if model is None:
            return np.zeros(0, np.int32)
        hour = now_ms // HOUR_MS
        if self._newcomers is None or self._newcomers[0] != (model.model_version, self._placed, hour):
            nobody = States(1)
            found = self.expected(nobody, np.zeros(1, np.int64), np.array([now_ms]), index, texts)
            if found is None:
                return np.zeros(0, np.int32)
            self._newcomers = (model.model_version, self._placed, hour), found.items[0]
        items = self._newcomers[1]
        named = items[(items >= 0) & (items < len(allowed))]
        kept: I4 = named[allowed[named]]
        return kept

    def _place(self, model: SequenceModel, index: ItemIndex, texts: ItemVectors | None) -> None:
        """Give items that training has not seen a place by their text, when there are more texts than last time."""
        if texts is None or texts.size == self._placed or model.text_model != texts.model_version:
            return
        self._placed = texts.size
        every = np.arange(len(index), dtype=np.int32)
        every = every[texts.has(every)]
        model.items.put(index.hash_of(every), texts.get(every))
        self._metrics.work.sequence_items.set(len(model.items))


def open_sequence(directory: Path) -> SequenceModel:
    """The model in a directory.

    Raises:
        ModelUnusableError: there is none, or it is damaged.
    """
    try:
        return SequenceModel.open(directory.expanduser())
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None


def sequence_version(directory: Path, created_at: int) -> SequenceVersion:
    """The record that makes a directory the current sequence model of every worker that can read it.

    Raises:
        ModelUnusableError: it holds no model.
    """
    model = open_sequence(directory)
    digest = sha256((directory / MANIFEST_FILE).read_bytes()).hexdigest()
    numbers = model.manifest.metrics.get("test", {}).get("challenger", {})
    metrics = {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}
    return SequenceVersion(
        model.model_version,
        created_at,
        str(directory.resolve()),
        digest,
        model.manifest.trained_until_ms,
        metrics,
    )


def load_version(version: SequenceVersion, on_refused: Callable[[], None]) -> SequenceModel | None:
    """The model that a record names; None, logged and counted, where this worker cannot read that very one.

    A worker that cannot goes on with what it has: recommending with yesterday's model is better than not recommending.
    """
    directory = Path(version.directory)
    try:
        found = sha256((directory / MANIFEST_FILE).read_bytes()).hexdigest()
        if found != version.manifest_sha256:
            raise ModelUnusableError(f"{directory} is not the model {version.version} any more.", "publish it again")
        return open_sequence(directory)
    except (OSError, ModelUnusableError) as error:
        logger.error(
            "sequence model %s cannot serve here, the one before stays: %s. Fix: publish one that can",
            version.version,
            error,
        )
        on_refused()
        return None

"""What a challenger has to beat on the same questions: the model that serves, or counting, where none does."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.hashing import item_hash
from models.sequence.model import SequenceModel
from models.training.sequence.evaluation import ItemScores, Queries
from models.training.sequence.histories import Batch, Histories

POPULARITY: Final = "popularity"


class Incumbent(NamedTuple):
    """Anything that ranks items for a history."""

    name: str
    """Model version, or `POPULARITY`."""
    queries: Queries
    items: ItemScores
    length: int
    trained_until_ms: int
    """The newest event it may have seen; later ones are fair questions."""


def popularity(events: Histories, n_items: int, until_ms: int) -> Incumbent:
    """Ranks by how often an item occurs in `events`, which end before `until_ms`, for everybody alike."""
    counts = np.bincount(events.item, minlength=n_items).astype(np.float32)

    def nothing(history: Batch) -> NDArray[np.float32]:
        return np.zeros((len(history.lengths), 1), np.float32)

    return Incumbent(POPULARITY, nothing, ItemScores(np.zeros((n_items, 1), np.float32), counts), 1, until_ms - 1)


def champion(directory: Path, ids: list[str], texts: NDArray[np.float32] | None, text_model: str | None) -> Incumbent:
    """The model in `directory`, over the items of this run; those it does not know are placed by their texts.

    Args:
        directory: of an exported sequence model.
        ids: n item ids.
        texts: (n, dims) text vectors, or None.
        text_model: who made them; another one's cannot place items.

    Raises:
        ModelError: it cannot be opened.
    """
    model = SequenceModel.open(directory)
    if texts is not None and model.text_model == text_model and model.items.text_dims == texts.shape[1]:
        model.items.put(np.fromiter(map(item_hash, ids), np.uint64, len(ids)), texts)
    rows = model.items.rows(ids)
    table = model.items.table
    biases = (
        np.where(rows >= 0, table.biases[np.maximum(rows, 0)], table.biases.min(initial=0)) if len(table.biases) else 0
    )
    items = ItemScores(
        model.items.gathered(table, rows), np.broadcast_to(np.float32(biases), rows.shape).astype(np.float32)
    )

    def queries(history: Batch) -> NDArray[np.float32]:
        # The model derives the features itself, from times; here they are already features.
        known = np.where(history.items >= 0, rows[np.maximum(history.items, 0)], -1).astype(np.int32)
        return model.queries_of(known, history.times, history.lengths)

    return Incumbent(model.model_version, queries, items, model.length, model.manifest.trained_until_ms)


def refuse_unfair(incumbent: Incumbent, newest_ms: int) -> None:
    """A champion that has seen all of the events cannot be compared on any of them.

    Raises:
        ModelError: no event is later than what it was trained on.
    """
    if incumbent.trained_until_ms >= newest_ms:
        raise ModelError(
            f"the champion {incumbent.name} has seen all of these events: nothing is left to compare on.",
            "give events that are newer than it, or leave --champion out",
        )

"""A sequence model for an evaluation: trained at the mark, on what was before it only. Alone, too, as a contender."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from models.encoder.errors import ModelError
from models.evaluation.contract import Answer, Factory, Known, Setup, Stream, UnavailableError
from models.evaluation.questions import histories
from models.hashing import item_hash
from models.sequence.graph import Kind
from models.sequence.model import SequenceModel
from models.training.engagements import engagements
from models.training.sequence import run
from models.training.sequence.settings import SequenceSettings
from stream.settings import Settings

NAME: Final = "sequence"
ARCHITECTURE: Final = SequenceSettings().architecture
_NEEDED: Final = ("torch", "onnx", "onnxruntime")


def can_train() -> bool:
    """Whether what training needs is installed (the extra `train`)."""
    return all(find_spec(name) is not None for name in _NEEDED)


def trained(stream: Stream, known: Known, end: int, seed: int, architecture: Kind) -> SequenceModel | None:
    """A model of the events `[0, end)`; None if counting was better, or if there are too few of them."""
    at = np.flatnonzero(stream.first[:end])
    events = engagements(stream.user[at], stream.item[at], stream.time_ms[at])
    text_model = None if known.text_vectors is None else "evaluation"
    corpus = run.Corpus(known.item_ids, events, known.text_vectors, text_model)
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "sequence"
        try:
            result = run.train(corpus, SequenceSettings(architecture=architecture, seed=seed), out)
        except ModelError:  # too few events to tell anything
            return None
        if not result.kept:
            return None
        model = SequenceModel.open(out)
    if known.text_vectors is not None and model.items.text_dims:
        hashes = np.array([item_hash(item_id) for item_id in known.item_ids], np.uint64)
        model.items.put(hashes, known.text_vectors)
    return model


class SequenceAlone:
    """See `models.evaluation.contract.Contender`: log-probabilities of the model and nothing else, its weights left as trained.

    Histories grow with the stream; an item that the model has no place for is the least likely of all.
    """

    name = NAME

    def __init__(self, setup: Setup, architecture: Kind = ARCHITECTURE) -> None:
        self._setup, self._architecture = setup, architecture
        self.chosen: dict[str, str] = {}

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        """Train.

        Raises:
            UnavailableError: the extra train is not installed, or what was learned is no better than counting.
        """
        if not can_train():
            raise UnavailableError("needs torch: pip install 'penchant[train,encoder-cpu]'")
        model = trained(stream, known, end, self._setup.seed, self._architecture)
        if model is None:
            raise UnavailableError("too few events before the mark, or no better on the last of them than counting")
        self._model, self._stream = model, stream
        self.chosen = {"model": model.model_version}
        self._rows = model.items.rows(known.item_ids)
        # What each user had is a prefix of a row of these; `_length` says how long it is by now.
        firsts = np.flatnonzero(stream.first)
        order = firsts[np.argsort(stream.user[firsts], kind="stable")]
        self._items, self._times_ms = self._rows[stream.item[order]], stream.time_ms[order]
        self._starts = histories(stream, known.n_users).starts
        self._length = np.bincount(stream.user[:end][stream.first[:end]], minlength=known.n_users)

    def ask(self, at: int) -> Answer:
        """Of every item."""
        user, model = int(self._stream.user[at]), self._model
        stop = int(self._starts[user] + self._length[user])
        newest = slice(max(int(self._starts[user]), stop - model.length), stop)
        history, times_ms = self._items[None, newest], self._times_ms[None, newest]
        query = model.queries(history, times_ms, np.array([history.shape[1]]), self._stream.time_ms[at : at + 1])
        vectors, biases = model.items.table
        scores = (vectors @ query[0] + biases).astype(np.float64)
        least = scores.min(initial=0.0) - 1.0
        return Answer(np.where(self._rows >= 0, scores[np.maximum(self._rows, 0)], least))

    def learn(self, at: int) -> None:
        """Somebody had something."""
        if self._stream.first[at]:
            self._length[self._stream.user[at]] += 1


def alone(architecture: Kind) -> Callable[[Settings], Factory]:
    """The model of another architecture, alone."""
    return lambda _: lambda setup: SequenceAlone(setup, architecture)

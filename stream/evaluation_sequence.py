"""A sequence model for an evaluation: trained at the mark, on what was before it and nothing else."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.contract import Known, Stream
from models.hashing import item_hash
from models.sequence.model import SequenceModel

_NEEDED: Final = ("torch", "onnx", "onnxruntime")


def can_train() -> bool:
    """Whether what training needs is installed (the extra `train`)."""
    return all(find_spec(name) is not None for name in _NEEDED)


def trained(stream: Stream, known: Known, end: int, seed: int) -> SequenceModel | None:
    """A model of the events `[0, end)`; None if counting was better, or if there are too few of them."""
    from models.encoder.errors import ModelError  # noqa: PLC0415
    from models.training.pairs import engagements  # noqa: PLC0415
    from models.training.sequence import run  # noqa: PLC0415
    from models.training.sequence.settings import SequenceSettings  # noqa: PLC0415

    at = np.flatnonzero(stream.first[:end])
    events = engagements(stream.user[at], stream.item[at], stream.time_ms[at])
    text_model = None if known.text_vectors is None else "evaluation"
    corpus = run.Corpus(known.item_ids, events, known.text_vectors, text_model)
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "sequence"
        try:
            outcome = run.train(corpus, SequenceSettings(seed=seed), out)
        except ModelError:  # too few events to tell anything
            return None
        if not outcome.kept:
            return None
        model = SequenceModel.open(out)
    if known.text_vectors is not None and model.items.text_dims:
        hashes = np.array([item_hash(item_id) for item_id in known.item_ids], np.uint64)
        model.items.put(hashes, known.text_vectors)
    return model

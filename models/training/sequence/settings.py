"""Every choice of a training run, in one value."""

from __future__ import annotations

from typing import Literal, NamedTuple

from models.sequence.graph import Kind
from models.training.precision import Precision

Loss = Literal["auto", "full", "sampled", "gbce"]

FULL_SOFTMAX_ITEMS = 20_000
"""`auto`: above so many items negatives are sampled."""


class SequenceSettings(NamedTuple):
    """How to train. All of it is part of a checkpoint's fingerprint."""

    architecture: Kind = "sasrec"
    """How the items of a history are mixed: softmax attention, or HSTU's pointwise one with a bias by pairwise time."""
    layers: int = 2
    heads: int = 2
    dims: int = 64
    hidden: int = 128
    """Of the feed-forward part of a layer."""
    length: int = 64
    """Newest items of a history that are looked at."""
    calendar: bool = False
    """Hour and weekday too. Off: it made films worse and a shop no better (deploy/docs/sequence.md)."""
    dropout: float = 0.2
    event_dropout: float = 0.1
    """Share of events left out of a history at random: so a history without one of its events is nothing new to the model."""
    id_dropout: float = 0.1
    """Share of items that are only their text for a step: so an item without a learned part has a place too."""
    loss: Loss = "auto"
    negatives: int = 1000
    """Sampled per step, for the losses that sample."""
    calibration: float = 0.75
    """t of gBCE."""
    epochs: int = 20
    """At most."""
    batch: int = 16
    """Segments of histories per step."""
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0
    precision: Precision = "auto"
    seed: int = 0
    patience: int = 3
    """Epochs without a better metric after which training ends."""
    checkpoint_steps: int = 100
    max_questions: int = 5000
    """Asked of the validation window after each epoch."""
    validation_share: float = 0.1
    test_share: float = 0.1
    min_gain: float = 0.0
    """A challenger is kept only if NDCG at 10 rises by more than this on the test window."""
    private_epsilon: float | None = None
    """Of differentially private training (`models.training.sequence.private`); None: not private."""
    private_delta: float = 1e-6

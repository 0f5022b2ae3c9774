"""Every choice of a fine-tuning run, in one value."""

from __future__ import annotations

from typing import Literal, NamedTuple

from models.training.precision import Precision

Metric = Literal["mrr", "recall"]


class FinetuneSettings(NamedTuple):
    """How to train. All of it but what only moves work about is part of a checkpoint's fingerprint."""

    epochs: float = 1.0
    """Draws of as many pairs as there are."""
    batch: int = 64
    """Pairs contrasted with each other on one process."""
    accumulate: int = 1
    """Batches per optimizer step."""
    learning_rate: float = 2e-4
    warmup_share: float = 0.1
    """Of all steps: the learning rate rises linearly, then falls linearly to 0."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    temperature: float = 0.05
    dropout: float | None = None
    """None: the model's own."""
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.05
    precision: Precision = "auto"
    seed: int = 0
    metric: Metric = "mrr"
    min_gain: float = 0.0
    """The tuned model is kept only if the metric rises by more than this on the test window."""
    evaluate_steps: int = 0
    """Steps between two looks at the validation window; 0 = ten in a run."""
    patience: int = 3
    """Looks without a better metric after which training ends."""
    checkpoint_steps: int = 100
    max_queries: int = 5000
    max_candidates: int = 20_000
    validation_share: float = 0.1
    test_share: float = 0.1
    replay_share: float = 0.25
    """Of each batch, from old pairs, where there are some."""
    anchor: float = 0.0
    """Weight of the distance to the starting model's vectors."""

"""`penchant train`: what can be trained."""

from __future__ import annotations

from typing import ClassVar

from stream.cli.apps import group_app
from stream.cli.lazy import Lazy, LazyGroup


class Trainings(LazyGroup):
    """A model a command."""

    table: ClassVar = {
        "weights": Lazy(
            "stream.cli.train_weights",
            "Learn how much each part of a score counts, from what people chose next; needs neither torch nor a GPU.",
        ),
        "fatigue": Lazy(
            "stream.cli.train_fatigue",
            "Learn how much an item that was seen and not taken should fall, from impressions and clicks on the topics.",
        ),
        "sequence": Lazy(
            "stream.cli.train_sequence",
            "Train the sequence model: what a user will want next, from the order and the times of what they had.",
        ),
        "federated": Lazy(
            "stream.cli.train_federated",
            "Learn ranking weights over several shops or regions, none of which shows its events to another.",
        ),
    }


app = group_app("Train what the ranking learns from behaviour.", Trainings)

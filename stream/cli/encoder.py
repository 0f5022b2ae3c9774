"""`penchant encoder`: the language model that turns texts into vectors."""

from __future__ import annotations

from typing import ClassVar

from stream.cli.apps import group_app
from stream.cli.lazy import Lazy, LazyGroup


class EncoderCommands(LazyGroup):
    """What can be done with one."""

    table: ClassVar = {
        "export": Lazy(
            "stream.cli.encoder_export",
            "Turn a BERT-family sentence encoder into what a worker serves: ONNX graphs with pooling inside, tokenizer, "
            "manifest.",
        ),
        "show": Lazy(
            "stream.cli.encoder_show",
            "What an exported encoder is: model, size, prompts, and how near each graph is to the original.",
        ),
        "finetune": Lazy(
            "stream.cli.encoder_finetune",
            "Tune a sentence encoder on what users engage with together, and keep it only if a later time window is "
            "served better.",
        ),
    }


app = group_app("The language model that turns texts into vectors: export one, tune one, look at one.", EncoderCommands)

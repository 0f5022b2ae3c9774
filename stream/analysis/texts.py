"""The text side of an evaluation: vectors of the catalogue, where there is a catalogue and an encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.evaluation.contract import Known
from stream.analysis.vectors import vectors_of
from stream.display.terminal import say, stderr
from stream.errors import ModelUnusableError
from stream.params import encoder_choice
from stream.settings import Settings
from stream.texts.options import open_encoder_of


def with_text(
    settings: Settings, known: Known, work_dir: Path, on_step: Callable[[str, int, int], None] = lambda *_: None
) -> tuple[Known, str]:
    """`(known with text vectors where they can be had, the encoder's version or "none")`.

    Raises:
        ModelUnusableError: an encoder that the settings name cannot be had; without the default one it goes on.
    """
    choice = encoder_choice(settings)
    if choice is None or not any(known.catalogue):
        return known, "none"
    try:
        encoder = open_encoder_of(choice)
    except ModelUnusableError as error:
        if settings.encoder_model != "default":
            raise
        say(stderr(), f"without texts: {error.message}")
        return known, "none"
    try:
        vectors = vectors_of(known.catalogue, encoder, work_dir, lambda done, total: on_step("texts", done, total))
        return known._replace(text_vectors=vectors), encoder.model_version
    finally:
        encoder.close()

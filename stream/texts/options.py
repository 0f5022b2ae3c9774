"""What the settings `encoder_*` mean for the encoder and for its micro-batcher."""

from __future__ import annotations

from typing import Final

from models.encoder.contract import Encoder
from models.encoder.errors import ModelAwayError, ModelError
from models.encoder.opening import EncoderChoice, open_encoder
from stream.errors import EncoderAwayError, ModelUnusableError

_BATCH_TOKENS: Final = {"cpu": 2048, "cuda": 32_768, "tensorrt": 32_768, "remote": 8192, "hashing": 8192}
"""On the CPU more tokens are no faster and make others wait; a GPU is launch-bound below about 10,000."""


def batch_tokens(provider: str) -> int:
    """Budget of a batch where the setting leaves it open."""
    return _BATCH_TOKENS[provider]


def open_encoder_of(choice: EncoderChoice) -> Encoder:
    """Load it in this thread, before the worker joins its group: what is wrong is then said in one line.

    Raises:
        EncoderAwayError: nobody answers where it is said to be; it may come back.
        ModelUnusableError: it cannot be had as the settings say.
    """
    try:
        return open_encoder(choice)
    except ModelAwayError as error:
        raise EncoderAwayError(error.message, error.fix) from None
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None

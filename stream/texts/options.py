"""What the settings `encoder_*` mean for the encoder and for its micro-batcher."""

from __future__ import annotations

from typing import Final

from models.encoder.contract import Encoder
from models.encoder.errors import ModelError
from models.encoder.opening import EncoderChoice, open_encoder
from stream.errors import ModelUnusableError
from stream.settings import Settings
from stream.texts.batcher import BatcherOptions

_BATCH_TOKENS: Final = {"cpu": 2048, "cuda": 32_768, "tensorrt": 32_768, "remote": 8192, "hashing": 8192}
"""On the CPU more tokens are no faster and make others wait; a GPU is launch-bound below about 10,000."""


def encoder_choice(settings: Settings) -> EncoderChoice | None:
    """Which encoder; None for `encoder_model = "none"`."""
    if settings.encoder_model == "none":
        return None
    key = settings.encoder_remote_api_key
    return EncoderChoice(
        model=settings.encoder_model,
        provider=settings.encoder_provider,
        threads=settings.encoder_threads,
        device=settings.encoder_device,
        cache_dir=settings.encoder_cache_dir,
        remote_url=settings.encoder_remote_url,
        remote_api_key=None if key is None else key.get_secret_value(),
        remote_timeout_s=settings.encoder_remote_timeout_s,
    )


def batch_tokens(provider: str) -> int:
    """Budget of a batch where the setting leaves it open."""
    return _BATCH_TOKENS[provider]


def batcher_options(settings: Settings, provider: str) -> BatcherOptions:
    """The micro-batcher's bounds for an encoder on this provider."""
    return BatcherOptions(
        max_tokens=settings.encoder_batch_tokens or batch_tokens(provider),
        max_texts=settings.encoder_batch_max_texts,
        wait_s=settings.encoder_batch_wait_ms / 1000,
        queue_max_texts=settings.encoder_queue_max_texts,
        queue_max_tokens=settings.encoder_queue_max_tokens,
        timeout_s=settings.encoder_timeout_s,
        ageing_s=settings.encoder_ageing_s,
        stall_s=settings.encoder_stall_s,
        cache_max_texts=settings.encoder_cache_max_texts,
        quarantine_s=settings.encoder_quarantine_s,
    )


def open_encoder_of(choice: EncoderChoice) -> Encoder:
    """Load it in this thread, before the worker joins its group: what is wrong is then said in one line.

    Raises:
        ModelUnusableError: it cannot be had as the settings say.
    """
    try:
        return open_encoder(choice)
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None

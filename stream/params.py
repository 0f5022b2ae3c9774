"""What `Settings` means to each room, as that room's own small record. It holds no state."""

from __future__ import annotations

import numpy as np

from models.encoder.opening import EncoderChoice
from models.ranking.rank import RankingParams
from models.ranking.semantics import InterestParams
from models.ranking.weights import RankingWeights
from stream.outcomes import crediting
from stream.outcomes.crediting import CreditParams
from stream.settings import Settings
from stream.state.update import UpdateParams
from stream.texts.encoder_thread import BatcherOptions
from stream.texts.options import batch_tokens
from stream.wire.decode import DecodeLimits
from stream.wire.times import parse_time_ms


def decode_limits(settings: Settings) -> DecodeLimits:
    """The bounds that records are held to."""
    earliest_ms = parse_time_ms(settings.event_time_earliest)
    assert earliest_ms is not None, "Settings checks it"
    return DecodeLimits(settings.message_max_bytes, earliest_ms, settings.event_time_max_ahead_s * 1000)


def update_params(settings: Settings) -> UpdateParams:
    """How events change states."""
    return UpdateParams(np.array(settings.strengths()), float(settings.dwell_saturation_ms), settings.pair_window)


def credit_params(settings: Settings) -> CreditParams | None:
    """How outcomes are credited; None: not at all."""
    return crediting.credit_params(
        settings.outcome_rule,
        {
            "click": settings.outcome_window_click_h,
            "cart": settings.outcome_window_cart_h,
            "purchase": settings.outcome_window_purchase_h,
        },
        settings.outcome_half_life_h,
    )


def interest_params(settings: Settings) -> InterestParams:
    """How interests by text are told apart and fade."""
    half_lives_h = settings.interest_short_half_life_h, settings.interest_long_half_life_h
    return InterestParams(
        settings.interest_points, settings.interest_candidates, (3600.0 * half_lives_h[0], 3600.0 * half_lives_h[1])
    )


def ranking_params(settings: Settings, weights: RankingWeights) -> RankingParams:
    """How a list is made with these weights."""
    return RankingParams(settings.top_k, settings.neighbours_scored, weights)


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

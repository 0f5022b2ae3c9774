"""Which updates of a round of federated training may count, and how much: a client may be broken, or lie. Pure.

Federated averaging (McMahan et al., AISTATS 2017) takes the mean of what clients send, so one client that sends NaN, or a
table a million times too large, has it all. So: what is no update is refused; what is too long is shortened to a bound (norm
clipping: Sun et al., "Can you really backdoor federated learning?", 2019); nobody counts many times as much as the others.
What is plausible and wrong only an aggregation other than the mean withstands: coordinate-wise median or trimmed mean (Yin et
al., ICML 2018), which Flower has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8

NORM_TIMES: Final = 3.0
"""An update may be so many times as long as the median one of its round."""

EXAMPLES_TIMES: Final = 10.0
"""A client counts at most so many times as much as the median one."""


class Update(NamedTuple):
    """What a client sent."""

    client: str
    arrays: Mapping[str, F8]
    """By name, as it would have the model."""
    examples: float
    """It says that it learned from so many."""


class Verdict(NamedTuple):
    """What became of it."""

    client: str
    refused: str
    """Why it does not count; "": it does."""
    norm: float
    """Length of the update, over all arrays: how far it is from what it was sent. NaN where it cannot be told."""
    scale: float
    """By which the update was shortened; 1: it was not."""
    examples: float
    """That it counts as."""


def judged(
    before: Mapping[str, F8], updates: Sequence[Update], norm_max: float | None = None
) -> tuple[list[Update], list[Verdict]]:
    """The updates that count, as they count, and a verdict on each that came.

    Args:
        before: the model that clients were sent.
        updates: of one round, a client once.
        norm_max: no update may be longer; None: `NORM_TIMES` times the median of the round.
    """
    refused = [_refusal(before, update) for update in updates]
    norms = np.array(
        [np.nan if why else _norm(before, update) for why, update in zip(refused, updates, strict=True)], np.float64
    )
    fair = [not why for why in refused]
    if not any(fair):
        return [], [Verdict(u.client, why, float("nan"), 1.0, 0.0) for u, why in zip(updates, refused, strict=True)]
    bound = _bound(norms[fair]) if norm_max is None else norm_max
    most = EXAMPLES_TIMES * float(np.median([u.examples for u, is_fair in zip(updates, fair, strict=True) if is_fair]))
    kept, verdicts = [], []
    for update, why, norm in zip(updates, refused, norms.tolist(), strict=True):
        scale = bound / norm if not why and norm > bound else 1.0
        examples = 0.0 if why else min(update.examples, most)
        verdicts.append(Verdict(update.client, why, norm, scale, examples))
        if not why:
            arrays = {name: before[name] + scale * (value - before[name]) for name, value in update.arrays.items()}
            kept.append(Update(update.client, arrays if scale < 1.0 else update.arrays, examples))
    return kept, verdicts


def _bound(norms: F8) -> float:
    """Where most send back what they were sent, the shortest of the others is the measure."""
    typical = float(np.median(norms)) or float(norms[norms > 0.0].min(initial=np.inf))
    return NORM_TIMES * typical


def _refusal(before: Mapping[str, F8], update: Update) -> str:
    if set(update.arrays) != set(before):
        return "it sent other arrays than it was sent"
    for name, value in update.arrays.items():
        if value.shape != before[name].shape or value.dtype.kind != "f":
            return f"{name} has shape {value.shape} of {value.dtype}, not {before[name].shape} of numbers"
        if not np.isfinite(value).all():
            return f"{name} has numbers that are not finite"
    if not (np.isfinite(update.examples) and update.examples >= 1.0):
        return f"it says that it learned from {update.examples:g} examples"
    return ""


def _norm(before: Mapping[str, F8], update: Update) -> float:
    return float(np.sqrt(sum(np.square(value - before[name]).sum() for name, value in update.arrays.items())))

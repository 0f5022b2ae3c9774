"""What `penchant evaluate policy` says, as one object of JSON. Pure."""

from __future__ import annotations

import math
from typing import Any, Final

from models.credit.exploration_rate import RateValue, Tried, rate_of, value_of_rate
from models.credit.policy_value import PolicyValue
from stream.analysis.policy.logged import Log
from stream.errors import UsageError
from stream.settings.placements import PlacementSettings

UNITS: Final = ("place", "list")


def candidate_rate(candidate: PlacementSettings, configured: PlacementSettings) -> float:
    """The rate of a candidate that is the configured placement otherwise; 0: it has no place that explores.

    Raises:
        UsageError: something else differs, of which logged lists say nothing.
    """
    is_off = candidate.explore.slots == 0
    if is_off:
        candidate = candidate.model_copy(update={"explore": configured.explore})
    other = _flat(configured)
    for name, value in _flat(candidate).items():
        if name != "explore.rate" and value != other[name]:
            raise UsageError(
                f"The candidate changes `{name}` ({other[name]} -> {value}); logged lists tell of `explore.rate` only.",
                "leave the rest as it is in penchant.toml; deploy/docs/placements.md says why",
            )
    return 0.0 if is_off else candidate.explore.rate


def _flat(placement: PlacementSettings) -> dict[str, Any]:
    own = placement.model_dump()
    explore = own.pop("explore")
    return own | {f"explore.{name}": value for name, value in explore.items()}


def figures(log: Log, candidate: float) -> dict[str, Any]:
    """Estimates for `candidate`, the rate of the log, and what was read; numbers that must not be said are None.

    Raises:
        UsageError: the log cannot tell.
    """
    if not len(log.kept) + len(log.drawn):
        raise UsageError(
            "None of the lists has a place that explores.", "log lists while [placements.home] has `explore`"
        )
    if not len(log.by_place.reward):
        raise UsageError(
            "No impression names a list of the file and an item at a place of it that explores.",
            "send impressions with recommendation_id, and give the lists and events of the same time",
        )
    units = dict(zip(UNITS, (log.by_place, log.by_list), strict=True))
    try:
        logged = rate_of(log.kept, log.drawn)
        found = {name: value_of_rate(tried, logged, candidate) for name, tried in units.items()}
    except ValueError as error:
        raise UsageError(f"The log cannot tell: {error}.", "give lists of a time with one rate below 1") from None
    return {
        "logged_rate": logged,
        "candidate_rate": candidate,
        "units": {name: _said(units[name], value) for name, value in found.items()},
        "counts": log.counts,
    }


def _said(tried: Tried, value: RateValue) -> dict[str, Any]:
    refused = value.why_not
    named = {
        "ips": value.ips,
        "snips": value.snips,
        "doubly_robust": value.doubly_robust,
        "difference": value.difference,
    }
    return {
        "units": len(tried.reward),
        "logged": float(tried.reward.mean()),
        "effective": value.effective,
        "clicks": value.rewarded,
        "refused": refused,
        "estimates": None if refused else {name: _interval(each) for name, each in named.items()},
    }


def _interval(value: PolicyValue) -> dict[str, float] | None:
    low, high = value.interval
    return None if math.isnan(low) else {"value": value.value, "low": low, "high": high}

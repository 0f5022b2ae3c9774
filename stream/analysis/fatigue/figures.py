"""What is said of fatigue, as plain values. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.learning.fatigue_fit import fit_fatigue
from stream.analysis.fatigue.exposures import SeenBefore

AGAIN_MIN: Final = 500
"""Exposures of something that had been seen before; fewer say nothing."""

CLICKS_MIN: Final = 50
"""Clicks of all exposures, and a tenth of that of those that had been seen before."""

WEIGHT_MAX: Final = 10.0
"""As of the setting."""


def figures(found: SeenBefore, half_lives_h: Sequence[float]) -> dict[str, Any]:
    """Weights by half-life, the one that explains clicks best, and why nothing is said if nothing is."""
    again = np.array([bool(ages) for ages in found.earlier_h], np.bool_)
    clicks, clicks_again = int(found.clicked.sum()), int(found.clicked[again].sum())
    report: dict[str, Any] = {
        "exposures": len(found.clicked),
        "people": int(found.person.max(initial=-1)) + 1,
        "clicks": clicks,
        "seen_before": int(again.sum()),
        "clicks_seen_before": clicks_again,
        "click_rates": _rates(found),
        "half_lives": [],
        "best": None,
        "refused": None,
    }
    if report["seen_before"] < AGAIN_MIN or clicks < CLICKS_MIN or clicks_again < CLICKS_MIN // 10:
        report["refused"] = (
            f"{report['seen_before']:,} exposures of something seen before and {clicks:,} clicks, {clicks_again:,} of them "
            f"there; {AGAIN_MIN}, {CLICKS_MIN} and {CLICKS_MIN // 10} are needed"
        )
        return report
    best = -math.inf
    for half_life_h in half_lives_h:
        fit = fit_fatigue(found.score, found.slot, found.seen(half_life_h), found.clicked, found.person)
        if math.isnan(fit.weight):
            report["refused"] = f"scores do not order clicks (slope {fit.slope:.3f}): nothing can be taken off them"
            return report
        low, high = fit.interval
        row = {"half_life_h": half_life_h, "weight": fit.weight, "low": low, "high": high, "slope": fit.slope}
        report["half_lives"].append(row | {"log_likelihood": fit.log_likelihood})
        if fit.log_likelihood > best:
            best, report["best"] = fit.log_likelihood, row
    return report


def placement_of(report: dict[str, Any]) -> dict[str, float] | None:
    """Settings of a placement that say the best weight. None: it is not surely above 0, or nothing is said. That it may be 0
    does not say that it is, so nobody's setting is taken away."""
    best = report["best"]
    if best is None or best["low"] <= 0.0:
        return None
    return {"fatigue": round(min(WEIGHT_MAX, best["weight"]), 3), "fatigue_half_life_h": best["half_life_h"]}


def _rates(found: SeenBefore) -> list[dict[str, Any]]:
    """Click rates by how often the item had been seen."""
    times = np.minimum([len(ages) for ages in found.earlier_h], 4) if found.earlier_h else np.zeros(0, np.int64)
    return [
        {
            "seen_before": f"{n}" if n < 4 else "4 or more",
            "exposures": int((times == n).sum()),
            "clicks": int(found.clicked[times == n].sum()),
        }
        for n in range(5)
    ]

"""What came of judging the reasons: every figure of the questions together, as JSON has it. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES, Figures, differences, figures
from models.sequence.leave_one_out import LeftOut
from stream.analysis.reasons.audit import Audit, audits_of
from stream.analysis.reasons.judge import NO_AUDIT, Judged
from stream.analysis.reasons.stability import stability_of
from stream.errors import UsageError


def report_of(judged: list[Judged], seed: int, audit: Audit = NO_AUDIT) -> dict[str, Any]:
    """Every figure, as JSON has it.

    Raises:
        UsageError: there is no question to judge by.
    """
    if not judged:
        raise UsageError("No list is led by what the past speaks for.", "give more events")
    gaps = np.array([each.gap for each in judged])
    user = np.array([each.user for each in judged], np.int32)
    explainers = tuple(judged[0].curves)
    of = {name: figures([each.curves[name] for each in judged]) for name in explainers}
    found = [each.counterfactual for each in judged if each.counterfactual is not None]
    return {
        "questions": len(judged),
        "users": len(np.unique(user)),
        "history_mean": float(np.mean([each.history for each in judged])),
        "completeness_gap_max": float(gaps.max()),
        "completeness_gap_p99": float(np.quantile(gaps, 0.99)),
        "stable": float(np.mean([each.is_stable for each in judged])),
        "counterfactual": {
            "success": len(found) / len(judged),
            "size_mean": float(np.mean([size for size, _ in found])) if found else None,
            "exact": float(np.mean([exact for _, exact in found])) if found else None,
            "sizes": {str(size): number for size, number in sorted(Counter(size for size, _ in found).items())},
        },
        "completeness_gap_decades": _decades(gaps),
        "stability": stability_of([each.is_stable for each in judged], [each.perturbed for each in judged]),
        "sequence": _sequence([each.left_out for each in judged if each.left_out is not None]),
        "audits": audits_of([each.audited for each in judged], audit),
        "explainers": {name: _figures(of[name], [each.flips[name] for each in judged]) for name in explainers},
        "better_than": {name: differences(of["penchant"], of[name], user, seed) for name in explainers[1:]},
        "lower_is_better": sorted(LOWER_IS_BETTER),
    }


def _decades(gaps: NDArray[np.float64]) -> dict[str, int]:
    """How many gaps are below each power of ten and not below the one before; of 0 below the least, "1e-17"."""
    powers = np.ceil(np.log10(np.maximum(gaps, 1e-17))).astype(int)
    return {f"1e{power}": int((powers == power).sum()) for power in range(int(powers.min()), int(powers.max()) + 1)}


def _sequence(found: list[LeftOut]) -> dict[str, Any] | None:
    """What leaving events out of the sequence model leaves over, as differences of log-probabilities; None without a model."""
    if not found:
        return None
    spoken = [each for each in found if float(each.whole[0]) > 0.0]
    change = [abs(float(each.whole[0] - each.nothing[0])) for each in spoken]
    residual = [abs(float(each.residual[0])) for each in spoken]
    return {
        "questions": len(spoken),
        "events_mean": float(np.mean([len(each.items) for each in found])),
        "expectation_mean": float(np.mean([each.whole[0] for each in spoken])) if spoken else None,
        "expectation_of_nothing_mean": float(np.mean([each.nothing[0] for each in spoken])) if spoken else None,
        "change_mean": float(np.mean(change)) if spoken else None,
        "residual_mean": float(np.mean(residual)) if spoken else None,
        "is_additive": False,
    }


def _figures(found: Figures, flips: list[int | None]) -> dict[str, Any]:
    sizes = [size for size in flips if size is not None]
    return {
        **dict(zip(MEASURES, found.values.mean(axis=1).tolist(), strict=True)),
        "replaces_leader_within_10": len(sizes) / len(flips),
        "replaces_leader_after": float(np.mean(sizes)) if sizes else None,
        "deletion_curve": found.deletion.tolist(),
        "insertion_curve": found.insertion.tolist(),
    }

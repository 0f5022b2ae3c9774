"""Audits of the contributions to a leader: against sampled Shapley values of the very score that serves, and against integrated
gradients of its additive parts. Offline: a Shapley audit scores each history hundreds of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.evaluation.additive_score import additive_score
from models.evaluation.integrated_gradients import integrated_gradients
from models.evaluation.shapley import Game, sampled
from models.evaluation.stability import rank_correlation
from models.ranking.features import items_of
from models.ranking.rank import RankedBatch
from models.reasons.what_if import WhatIf
from models.sequence.leave_one_out import LeftOut, expected_with

AUDITS: Final = ("shapley", "integrated_gradients")


class Audit(NamedTuple):
    """What to compare with."""

    methods: tuple[str, ...] = ()
    """Of `AUDITS`."""
    samples: int = 20
    """Orders of a Shapley audit, at least 2."""


class Audited(NamedTuple):
    """One question by one method."""

    correlation: dict[str, float | None]
    """By explainer: of the ranks of its contributions and of the method's."""
    difference: dict[str, float]
    """By explainer: mean absolute difference per behaviour, in units of the score."""
    gap: float
    """|sum of the method's values - what they must add up to|."""
    standard_error: float
    """Mean over behaviours; 0 of a method that does not sample."""


def compare(values: F8, others: Mapping[str, F8], total: float, standard_error: float) -> Audited:
    """Of one question: the method's values (n,), and each explainer's."""
    return Audited(
        {name: rank_correlation(values, each) for name, each in others.items()},
        {name: float(np.mean(np.abs(values - each))) for name, each in others.items()},
        abs(float(values.sum()) - total),
        standard_error,
    )


def shapley_audit(game: Game, others: Mapping[str, F8], samples: int, rng: np.random.Generator) -> Audited:
    """Explainers' contributions (n,) each against Shapley values of a game of n behaviours."""
    found = sampled(game, len(next(iter(others.values()))), samples, rng)
    return compare(found.values, others, found.everything - found.nothing, float(found.standard_error.mean()))


def sequence_audit(person: WhatIf, left_out: LeftOut, leader: int, samples: int, rng: np.random.Generator) -> Audited:
    """What leaving events out changes in the sequence model's expectation, against Shapley values of that expectation."""
    assert person.sequence is not None
    model, now_ms, index = person.sequence.model, int(person.past.question.now_ms[0]), person.inputs.catalog.index

    def game(present: NDArray[np.bool_]) -> F8:
        question = np.array([leader], np.int32)
        return expected_with(model, left_out.items, left_out.times_ms, present, now_ms, index, question)[:, 0]

    return shapley_audit(game, {"sequence_leave_one_out": left_out.differences[:, 0]}, samples, rng)


def gradients_audit(person: WhatIf, ranked: RankedBatch, leader: int) -> Audited:
    """The leader's contributions against integrated gradients from no gain to the gains that are there."""
    items = items_of(person.inputs.catalog, person.inputs.stats)
    question, categories = person.whole().question, person.inputs.priors.categories
    score = additive_score(question, items, person.weights(), leader, person.text(), categories)
    one = np.ones(score.near.shape[1])
    values = integrated_gradients(score.gradients, one, np.zeros_like(one))
    total = float(score.scores(one[None])[0])
    return compare(values, {"penchant": ranked.contributions[0, 0]}, total, 0.0)


def audits_of(found: Sequence[Mapping[str, Audited]], audit: Audit) -> dict[str, Any]:
    """Of all questions, as JSON has it, by method."""
    report: dict[str, Any] = {}
    for method in dict.fromkeys(name for each in found for name in each):
        question = [each[method] for each in found if method in each]
        report[method] = {
            "questions": len(question),
            "samples": 0 if method == "integrated_gradients" else audit.samples,
            "standard_error": float(np.mean([each.standard_error for each in question])),
            "completeness_gap_max": max(each.gap for each in question),
            "against": {name: _against(name, question) for name in question[0].difference},
        }
    return report


def _against(name: str, question: Sequence[Audited]) -> dict[str, float | None]:
    known = [each.correlation[name] for each in question]
    correlations = [each for each in known if each is not None]
    return {
        "rank_correlation": float(np.mean(correlations)) if correlations else None,
        "mean_absolute_difference": float(np.mean([each.difference[name] for each in question])),
    }

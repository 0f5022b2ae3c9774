"""Reports of an evaluation as `models.evaluation.report` makes them, with the widest figures there are."""

from __future__ import annotations

from models.evaluation.report import REFERENCE
from models.evaluation.verdict import JUDGED, MODEL

SLICES = (*list(JUDGED)[1:], "items_under_5", "items_unknown")
QUESTIONS = 53_246


def report_of(models):
    """Of these contenders: alike in everything, and Penchant ahead of the reference in every slice but one."""
    mean = {"ndcg@10": 0.1897, "hr@10": 0.2767, "hr@20": 0.3, "mrr": 0.15, "auc": 0.9}
    figures = {**mean, "intervals": {"ndcg@10": [0.1234, 0.2345]}, "questions": QUESTIONS, "seconds": 1234.5}
    lists = {"coverage@10": 0.907, "weekly_coverage@10": 0.3, "gini@10": 0.7, "novelty@10": 11.2, "diversity@10": 0.8}
    difference = {"mean": 0.0219, "interval": [-0.1234, 0.1234]}
    return {
        "verdict": verdict(difference) if MODEL in models and len(models) > 1 else None,
        "models": {name: {**figures, **lists} for name in models},
        "slices": {part: {name: {**figures, "ndcg@10": 0.1897} for name in models} for part in SLICES},
        "differences": {"all": {name: {"ndcg@10": difference} for name in models if name != REFERENCE}},
        "questions": dict.fromkeys(("all", *SLICES), QUESTIONS),
        "skipped": {},
        "data": {"possible_questions": QUESTIONS, "asked_users": 1988, "warm_up_events": 300_000},
    }


def verdict(difference):
    rows = [
        {
            "slice": part,
            "questions": QUESTIONS,
            "users": 1988,
            "value": 0.2116,
            "best": REFERENCE,
            "best_value": 0.1897,
            "difference": difference,
            "mark": "too few" if part == "session_within" else "ahead",
        }
        for part in JUDGED
    ]
    return {
        "model": MODEL,
        "metric": "ndcg@10",
        "baselines": [REFERENCE],
        "rows": rows,
        "sentence": "Penchant is ahead.",
    }

"""Pictures of the report on reasons, as PNG bytes. Needs matplotlib, as those of the evaluation do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.evaluation.faithfulness import DEPTHS
from stream.analysis.rankings.plots import new_figure, png


def plots(report: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG files by title; those that the report has figures for."""
    explainers = report["explainers"]
    found = {
        "Deletion: the score while items are taken out (lower is better)": _curves(explainers, "deletion", "taken out"),
        "Insertion: the score while items are put in (higher is better)": _curves(explainers, "insertion", "put in"),
        "Comprehensiveness: what is lost without the first k (higher is better)": _depths(
            explainers, "comprehensiveness"
        ),
        "Sufficiency: what is lost with only the first k (lower is better)": _depths(explainers, "sufficiency"),
        "Completeness gap": _counts(report["completeness_gap_decades"], "largest gap of a list, at most", "questions"),
    }
    sizes = report["counterfactual"]["sizes"]
    if sizes:
        found["Counterfactuals: items without which another leads"] = _counts(sizes, "items", "questions")
    return found


def _curves(explainers: Mapping[str, Any], kind: str, done: str) -> bytes:
    figure, axes = new_figure(8, 4)
    for name, each in explainers.items():
        curve = each[f"{kind}_curve"]
        axes.plot(np.linspace(0.0, 1.0, len(curve)), curve, label=name)
    axes.set(xlabel=f"share of the history {done}", ylabel="score (1 = whole history, 0 = none)")
    axes.axhline(0.0, color="0.8", linewidth=1, zorder=0)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _depths(explainers: Mapping[str, Any], measure: str) -> bytes:
    figure, axes = new_figure(8, 3.6)
    width = 0.8 / len(explainers)
    for number, (name, each) in enumerate(explainers.items()):
        values = [each[f"{measure}@{k}"] for k in DEPTHS]
        axes.bar([place + number * width for place in range(len(DEPTHS))], values, width, label=name)
    middle = 0.4 - width / 2
    axes.set_xticks([place + middle for place in range(len(DEPTHS))], [f"@{k}" for k in DEPTHS])
    axes.set(ylabel="units of the score")
    axes.axhline(0.0, color="0.6", linewidth=1)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _counts(counts: Mapping[str, int], what: str, of: str) -> bytes:
    figure, axes = new_figure(6, 3)
    axes.bar(range(len(counts)), list(counts.values()), 0.7)
    axes.set_xticks(range(len(counts)), list(counts))
    axes.set(xlabel=what, ylabel=of)
    return png(figure)

"""Pictures of `penchant report fairness`, as PNG bytes. The only part of it that needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.analysis.rankings.plots import new_figure, png


def plots(report: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG files by title; those that the report has figures for."""
    found = {}
    for name, each in report["exposure"].items():
        rows = [(row["group"], row["ratio"]) for row in each["groups"] if row["ratio"]["value"] is not None]
        if rows:
            found[f"Exposure by {name}, as a multiple of what people take (95 %)"] = _intervals(rows, 1.0)
    for name, groups in report["service"].items():
        rows = [(row["group"], row["ndcg@10"]) for row in groups if row["ndcg@10"]["value"] is not None]
        if len(rows) > 1:
            found[f"NDCG@10 by {name} (95 %)"] = _intervals(rows, None)
    return found


def _intervals(rows: list[tuple[str, Mapping[str, Any]]], middle: float | None) -> bytes:
    figure, axes = new_figure(8, 1.0 + 0.35 * len(rows))
    for place, (_, found) in enumerate(reversed(rows)):
        axes.plot(found["value"], place, "o", color="C0")
        if found["low"] is not None and found["high"] is not None:
            axes.plot([found["low"], found["high"]], [place, place], color="C0", linewidth=1.5)
    if middle is not None:
        axes.axvline(middle, color="0.6", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_xlim(left=0)
    return png(figure)

"""What a person sees of `penchant evaluate reasons` at the end."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES
from stream.analysis.reasons.page import audit_lines, stability_lines
from stream.display.terminal import Cell, count, say, show_table


def show_report(console: Console, report: dict[str, Any]) -> None:
    """The report of `stream.analysis.reasons.figures`: a few lines and a table."""
    found = report["counterfactual"]
    size = "none" if found["size_mean"] is None else f"{found['size_mean']:.2f} items on average"
    say(
        console,
        f"{count(report['questions'], 'question')} of {report['asked']} whose leader the past speaks for, "
        f"{report['history_mean']:.1f} items of history on average.",
        "bold",
    )
    say(
        console,
        f"Completeness gap: {report['completeness_gap_max']:.1e} at most. Made twice the same: {report['stable']:.1%}.",
    )
    for line in _others(report):
        say(console, line)
    say(console, f"Counterfactuals: found for {found['success']:.1%}, {size}.")
    rows = []
    for name, each in report["explainers"].items():
        cells = [Cell(name)]
        for measure in MEASURES:
            low, high = report["better_than"].get(name, {}).get(measure, (0.0, 0.0))
            # What Penchant is significantly better than is green, what it is significantly worse than red.
            cells.append(Cell(f"{each[measure]:.3f}", "ok" if low > 0 else "fail" if high < 0 else "plain"))
        after = each["replaces_leader_after"]
        cells += [Cell(f"{each['replaces_leader_within_10']:.1%}"), Cell("–" if after is None else f"{after:.2f}")]
        rows.append(cells)
    headings = [f"{name} {'↓' if name in LOWER_IS_BETTER else '↑'}" for name in MEASURES]
    show_table(console, ("explainer", *headings, "replaces leader within 10 ↑", "after ↓"), rows)


def _others(report: dict[str, Any]) -> list[str]:
    """A line each for stability, the sequence model and audits."""
    lines = stability_lines(report["stability"])
    found = report["sequence"]
    if found is not None and found["questions"]:
        lines.append(
            f"Sequence model, {found['questions']} leaders: leaving events out one by one (does not add up) leaves over "
            f"{found['residual_mean']:.2f} of a change of {found['change_mean']:.2f}."
        )
    return lines + audit_lines(report["audits"])

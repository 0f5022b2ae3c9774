"""What a person sees of `penchant evaluate clicks` at the end."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from models.evaluation.click_figures import MEASURES
from stream.display.terminal import Cell, count, say, show_table


def show_report(console: Console, report: dict[str, Any]) -> None:
    """The report of `stream.analysis.clicks.judge`: two lines and a table."""
    shown, text = report["exposures"], report["text"]
    say(
        console,
        f"{count(shown['judged'], 'exposure')} of {count(report['users'], 'user')} after {shown['all'] - shown['judged']:,} "
        f"of warm-up, {report['clicks']['judged']:,} clicked.",
        "bold",
    )
    say(
        console,
        f"Texts ({report['encoder']}): of {text['items']:.1%} of the items shown, {text['both']:.1%} with users.",
    )
    rows = []
    for name, each in report["models"].items():
        figures, difference = each["probability"], report["log_loss_minus"].get(name)
        cells = [Cell(name)]
        for measure in MEASURES:
            low, high = ("–" if value is None else f"{value:.4f}" for value in figures["intervals"][measure])
            cells.append(Cell(f"{figures[measure]:.4f} [{low}, {high}]"))
        rows.append([*cells, _difference(difference)])
    show_table(console, ("model", "auc ↑", "log loss ↓", "ece ↓", "ours minus it, log loss"), rows)
    for name, why in report["skipped"].items():
        say(console, f"skipped {name}: {why}", "yellow")


def _difference(found: dict[str, Any] | None) -> Cell:
    if found is None:
        return Cell("–")
    low, high = found["interval"]
    text = f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"
    return Cell(text, "ok" if high < 0 else "fail" if low > 0 else "plain")  # of log loss, less is better

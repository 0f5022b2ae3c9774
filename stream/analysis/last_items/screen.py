"""What a person sees of `penchant evaluate leave-one-out` at the end."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console

from stream.analysis.last_items.judge import KNOWN, REFERENCE
from stream.display.terminal import Cell, Style, count, say, show_table

_FIGURES: Final = ("hr@10", "hr@20", "ndcg@10", "ndcg@20", "mrr")


def show_report(console: Console, report: dict[str, Any]) -> None:
    """The report of `stream.analysis.last_items.judge` with its `ties`: a line, a table, what was skipped."""
    say(
        console,
        f"The last item of {count(report['questions'], 'user')}, ranked among all {count(report['items'], 'item')} less "
        f"those that the user had before; events of one time in the order of "
        f"{'the file' if report['ties'] == 'file' else 'item ids'}.",
        "bold",
    )
    rows = []
    for row in report["models"]:
        low, high = row["intervals"]["ndcg@10"]
        rows.append(
            [
                Cell(row["model"]),
                Cell(row["query_time"]),
                *(Cell(_number(row[metric])) for metric in _FIGURES),
                Cell(f"[{_number(low)}, {_number(high)}]"),
                _difference(row[f"minus_{REFERENCE}"]),
            ]
        )
    headings = ("model", "query time", *_FIGURES, "ndcg@10, 95 %", "ndcg@10 minus tuned co-occurrence")
    show_table(console, headings, rows)
    for row in report["models"]:
        worth = row["minus_query_time_not_known"]
        if row["query_time"] == KNOWN and worth is not None:
            told = _difference(worth)
            say(console, f"What {row['model']} gains by knowing when is asked, ndcg@10: {told.text}")
    for name, why in report["skipped"].items():
        say(console, f"skipped {name}: {why}", "yellow")


def _difference(found: dict[str, Any] | None) -> Cell:
    if found is None:
        return Cell("–")
    low, high = found["ndcg@10"]["interval"]
    style: Style = "ok" if low > 0 else "fail" if high < 0 else "plain"
    return Cell(f"{_number(found['ndcg@10']['mean'], '+')} [{_number(low, '+')}, {_number(high, '+')}]", style)


def _number(value: float, sign: str = "") -> str:
    """Four digits without the 0 before them."""
    return f"{value:{sign}.4f}".replace("0.", ".", 1)

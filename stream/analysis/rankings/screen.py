"""What a person sees of `penchant evaluate rankings` at the end: a few tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console

from models.evaluation.slices import MONTH
from stream.display.terminal import Cell, Style, count, say, show_table

_HITS: Final = ("hr@10", "mrr", "auc")
_LISTS: Final = {
    "coverage": "coverage@10",
    "a week": "weekly_coverage@10",
    "gini": "gini@10",
    "novelty": "novelty@10",
    "diversity": "diversity@10",
}
NOTHING: Final = "–"
_SHORT: Final = {
    "all": "all questions",
    "users_without_history": "newcomers",
    "users_under_5": "under 5 items",
    "users_not_in_warm_up": "not in warm-up",
    "session_start": "session starts",
    "session_start_returning": "  returning",
    "session_within": "within session",
    "items_under_5": "items 0-4",
    "items_1_to_4": "items 1-4",
    "items_unseen": "items unseen",
    "items_unknown": "items unknown",
}
"""What the slices are called where there are 80 columns."""
_WIDE: Final = 110
"""Columns from which nothing needs to be broken."""
_SLICES_AT_ONCE: Final = 5
_STYLES: Final[dict[str, Style]] = {"ahead": "ok", "behind": "fail", "too few": "skip"}


def show_report(console: Console, report: dict[str, Any]) -> None:
    """The report of `models.evaluation.report` with its `data` and `skipped`, in a few tables."""
    data, asked = report["data"], report["questions"]
    of_all = "" if asked["all"] == data["possible_questions"] else f" of {data['possible_questions']:,}, evenly spread,"
    say(
        console,
        f"{count(asked['all'], 'question')}{of_all} by {count(data['asked_users'], 'user')} after "
        f"{count(data['warm_up_events'], 'event')} of warm-up; {asked['items_unknown']:,} about items nobody knew.",
        "bold",
    )
    _show_verdict(console, report["verdict"])
    _show_models(console, report)
    _show_slices(console, report)
    _show_lists(console, report)
    _show_probabilities(console, report)
    for name, why in report["skipped"].items():
        say(console, f"skipped {name}: {why}", "yellow")


def _show_verdict(console: Console, verdict: dict[str, Any] | None) -> None:
    """Nothing where Penchant did not take part; one line where no baseline did."""
    if verdict is None:
        return
    rows = [
        [
            Cell(_SHORT[row["slice"]], _STYLES.get(row["mark"], "plain")),
            Cell(f"{row['questions']:,}"),
            Cell(_number(row["value"])),
            _broken(console, row["best"], _number(row["best_value"])) if row["best"] else Cell(NOTHING),
            _difference(console, row["difference"]),
            Cell(row["mark"], _STYLES.get(row["mark"], "plain")),
        ]
        for row in verdict["rows"]
    ]
    if rows:
        headings = ("ndcg@10", "asked", verdict["model"], "best baseline", "minus it (95 %)", "")
        _show(console, headings, rows, "Penchant and the best baseline of each slice")
    say(console, verdict["sentence"], "bold")


def _show_models(console: Console, report: dict[str, Any]) -> None:
    rows = []
    for name, figures in report["models"].items():
        difference = report["differences"]["all"].get(name, {}).get("ndcg@10")
        low, high = figures["intervals"]["ndcg@10"]
        rows.append(
            [
                Cell(name),
                _broken(console, _number(figures["ndcg@10"]), f"[{_number(low)}, {_number(high)}]"),
                _difference(console, difference),
                *(Cell(_number(figures[metric])) for metric in _HITS),
            ]
        )
    headings = ("model", "ndcg@10 (95 %)", "minus tuned co-occurrence", *_HITS)
    _show(console, headings, rows, "All questions")


def _show_lists(console: Console, report: dict[str, Any]) -> None:
    rows = [
        [Cell(name), *(Cell(_number(each[metric])) for metric in _LISTS.values()), Cell(f"{each['seconds']:.1f}")]
        for name, each in report["models"].items()
    ]
    _show(console, ("model", *_LISTS, "seconds"), rows, "Reach and lists of ten")


def _show_slices(console: Console, report: dict[str, Any]) -> None:
    """NDCG@10 where it is asked: a model a column would be too wide, so a slice a column, months left to the JSON."""
    parts = [part for part in report["slices"] if not part.startswith(MONTH) and report["questions"][part]]
    at_once, air = (_SLICES_AT_ONCE, "\n") if _is_narrow(console) else (max(1, len(parts)), " ")
    for start in range(0, len(parts), at_once):
        shown = parts[start : start + at_once]
        rows = [
            [Cell(name), *(Cell(_number(report["slices"][part][name]["ndcg@10"])) for part in shown)]
            for name in report["models"]
        ]
        headings = (
            "ndcg@10",
            *(f"{_SHORT.get(part, part).strip()}{air}({report['questions'][part]:,})" for part in shown),
        )
        _show(console, headings, rows, "" if start else "Slices (questions)")


def _show_probabilities(console: Console, report: dict[str, Any]) -> None:
    stated = {name: each["probability"] for name, each in report["models"].items() if "probability" in each}
    rows = [
        [
            Cell(name),
            *(Cell(_number(each[metric])) for metric in ("auc", "log_loss", "ece")),
            Cell(f"{each['clicks']:,}"),
        ]
        for name, each in stated.items()
    ]
    if rows:
        _show(console, ("model", "auc", "log loss", "ece", "clicks"), rows, "Click probability")


def _show(console: Console, headings: Sequence[str], rows: Sequence[Sequence[Cell]], title: str) -> None:
    """On a terminal with a line of air above."""
    if console.is_terminal:
        console.print()
    show_table(console, headings, rows, title=title)


def _is_narrow(console: Console) -> bool:
    return console.is_terminal and console.width < _WIDE


def _broken(console: Console, first: str, second: str, style: Style = "plain") -> Cell:
    """On two lines where one would be too long."""
    return Cell(f"{first}\n{second}" if _is_narrow(console) else f"{first} {second}", style)


def _difference(console: Console, found: dict[str, Any] | None) -> Cell:
    if found is None or found["mean"] is None:
        return Cell(NOTHING)
    low, high = found["interval"]
    style: Style = "ok" if low > 0 else "fail" if high < 0 else "plain"
    return _broken(console, _signed(found["mean"]), f"[{_signed(low)}, {_signed(high)}]", style)


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("0.", ".", 1)


def _number(value: float | None) -> str:
    """Four digits without the 0 before them: so a row has room in 80 columns."""
    if value is None:
        return NOTHING
    text = f"{value:.4f}"
    return text[1:] if text.startswith("0.") else text

"""What a person sees of `penchant evaluate rankings` at the end: a few tables."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console

from models.evaluation.slices import MONTH
from stream.display.terminal import Cell, count, say, show_table

_HITS: Final = ("hr@10", "hr@20", "mrr", "auc")
_LISTS: Final = ("coverage@10", "gini@10", "novelty@10", "diversity@10")
NOTHING: Final = "–"


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
    _show_models(console, report)
    _show_slices(console, report)
    _show_lists(console, report)
    _show_probabilities(console, report)
    for name, why in report["skipped"].items():
        say(console, f"skipped {name}: {why}", "yellow")


def _show_models(console: Console, report: dict[str, Any]) -> None:
    rows = []
    for name, figures in report["models"].items():
        difference = report["differences"]["all"].get(name, {}).get("ndcg@10")
        rows.append(
            [
                Cell(name),
                _with_interval(figures["ndcg@10"], figures["intervals"]["ndcg@10"]),
                _difference(difference),
                *(Cell(_number(figures[metric])) for metric in _HITS),
            ]
        )
    headings = ("model", "ndcg@10 (95 %)", "minus tuned co-occurrence", *_HITS)
    show_table(console, headings, rows, title="All questions")


def _show_lists(console: Console, report: dict[str, Any]) -> None:
    rows = [
        [Cell(name), *(Cell(_number(each[metric])) for metric in _LISTS), Cell(f"{each['seconds']:.1f}")]
        for name, each in report["models"].items()
    ]
    show_table(console, ("model", *_LISTS, "seconds"), rows, title="Lists of ten")


def _show_slices(console: Console, report: dict[str, Any]) -> None:
    """NDCG@10 where it is asked: a model a column would be too wide, so a slice a column, months left to the JSON."""
    parts = [part for part in report["slices"] if not part.startswith(MONTH) and report["questions"][part]]
    rows = [
        [Cell(name), *(Cell(_number(report["slices"][part][name]["ndcg@10"])) for part in parts)]
        for name in report["models"]
    ]
    headings = ("ndcg@10", *(f"{part} ({report['questions'][part]:,})" for part in parts))
    show_table(console, headings, rows, title="Slices (questions)")


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
        show_table(console, ("model", "auc", "log loss", "ece", "clicks"), rows, title="Click probability")


def _with_interval(value: float | None, interval: list[float | None]) -> Cell:
    return Cell(f"{_number(value)} [{_number(interval[0])}, {_number(interval[1])}]")


def _difference(found: dict[str, Any] | None) -> Cell:
    if found is None or found["mean"] is None:
        return Cell(NOTHING)
    low, high = found["interval"]
    text = f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"
    return Cell(text, "ok" if low > 0 else "fail" if high < 0 else "plain")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"

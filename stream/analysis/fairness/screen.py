"""What a person sees of `penchant report fairness`: a few tables, and which figures stand out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

from stream.display.terminal import Cell, count, say, show_table

NOTHING: Final = "–"

WEEKS_SHOWN: Final = 8
"""The last ones; the JSON and the page have all."""

EXPOSURE_HEADINGS: Final = ("items", "of the catalogue", "of exposure", "of what people take", "exposure / taken")
SERVICE_HEADINGS: Final = (
    "people", "choices", "NDCG@10", "more than others", "hit rate@10", "popularity lift", "divergence", "for nobody",
)  # fmt: skip
WEEK_HEADINGS: Final = ("week", "lists", "coverage", "Gini", "new items", "popular head", "rare tail")


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """The report in tables."""
    read = report["read"]
    say(
        console,
        f"{count(report['lists'], 'list')} of {count(report['people'], 'person').replace('persons', 'people')}, "
        f"{report['from']} to {report['to']}; {count(report['choices'], 'choice')} while one of them was there.",
        "bold",
    )
    if read["people_share"] < 1.0:
        say(console, f"More than fits: a sample, {read['people_share']:.2%} of the people.", "yellow")
    for pattern in report["sensitive_without_category"]:
        say(console, f"sensitive_categories: {pattern!r} means no category of the catalogue. Is it misspelt?", "yellow")
    if not report["choices"]:
        say(console, "Nobody took anything after a list: what lists are worth cannot be told.", "yellow")
    items = report["items"]
    say(
        console,
        f"Of {count(items['could_be_listed'], 'item')} that could be listed {percent(items['coverage'])} have a place; "
        f"Gini of exposure {number(items['gini'])}.",
    )
    for name, each in report["exposure"].items():
        rows = [
            [Cell(row[0]), *(Cell(cell) for cell in row[1:-1]), _ratio(row[-1], raw)] for row, raw in exposure(each)
        ]
        title = f"Exposure by {name}; to change hands for lists as good as can be {between(each['unfairness'])}"
        show_table(console, EXPOSURE_HEADINGS, rows, title=title)
    for name, groups in report["service"].items():
        shown = groups[-WEEKS_SHOWN:] if name == "week" else groups
        rows = [[Cell(cell) for cell in row] for row in service(shown)]
        show_table(console, (name, *SERVICE_HEADINGS[1:]), rows, title=f"Lists by {name} of people, 95 %")
    if len(report["weeks"]) > 1:
        rows = [[Cell(cell) for cell in row] for row in by_week(report)[-WEEKS_SHOWN:]]
        show_table(console, WEEK_HEADINGS, rows, title="By week")


def exposure(of: Mapping[str, Any]) -> list[tuple[list[str], Mapping[str, float | None]]]:
    """Cells under `EXPOSURE_HEADINGS`, and the ratio as numbers."""
    return [
        (
            [
                row["group"],
                percent(row["of_catalogue"]),
                between(row["exposure"]),
                between(row["deserved"]),
                between(row["ratio"], 2),
            ],
            row["ratio"],
        )
        for row in of["groups"]
    ]


def service(groups: list[Mapping[str, Any]]) -> list[list[str]]:
    """Cells under `SERVICE_HEADINGS`."""
    return [
        [
            row["group"],
            f"{row['choices']:,}",
            between(row["ndcg@10"]),
            between(row["ndcg_difference"], 3, plus=True),
            between(row["hit_rate@10"]),
            between(row["popularity_lift"], 2, plus=True),
            between(row["divergence"], 2),
            number(row["divergence_of_mean"]["value"], 2),
        ]
        for row in groups
    ]


def by_week(report: Mapping[str, Any]) -> list[list[str]]:
    """Cells under `WEEK_HEADINGS`."""
    return [
        [
            str(row["week"]),
            f"{row['lists']:,}",
            percent(row["coverage"]),
            number(row["gini"]),
            percent(row.get("age", {}).get("new")),
            percent(row["popularity"]["head"]),
            percent(row["popularity"]["tail"]),
        ]
        for row in report["weeks"]
    ]


def between(found: Mapping[str, float | None], digits: int = 3, *, plus: bool = False) -> str:
    """`0.120 [0.100, 0.140]`."""
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if value is None:
        return NOTHING
    sign = "+" if plus else ""
    return f"{value:{sign}.{digits}f} [{number(low, digits)}, {number(high, digits)}]"


def number(value: float | None, digits: int = 3) -> str:
    """With so many digits, or a dash."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """`12.3 %`, or a dash."""
    return NOTHING if value is None else f"{100 * value:.3g} %"


def _ratio(text: str, found: Mapping[str, float | None]) -> Cell:
    """Marked where the interval leaves no doubt that a group has less, or more, than people take of it."""
    low, high = found["low"], found["high"]
    is_odd = low is not None and high is not None and (low > 1.0 or high < 1.0)
    return Cell(text, "warn" if is_odd else "plain")

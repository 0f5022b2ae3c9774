"""What a person sees of `penchant report experiment`: a few tables, and what to make of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

from stream.display.terminal import Cell, count, say, show_table

NOTHING: Final = "–"
_TOO_FEW: Final = {"people": "too few people", "outcomes": "too few outcomes"}


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """The report in tables."""
    read = report["read"]
    say(
        console,
        f"Experiment {report['experiment']}: {count(sum(arm['people'] for arm in report['arms']), 'person')}"
        f" in {len(report['arms'])} arms, {report['from']} to {report['to']}.".replace("persons", "people"),
        "bold",
    )
    if read["people_share"] < 1.0:
        say(console, f"More than fits: a sample, {read['people_share']:.2%} of the people.", "yellow")
    if read["moved"]:
        say(
            console,
            f"{count(read['moved'], 'list')} of another arm than the settings say now: left out. Were they changed?",
            "yellow",
        )
    _show_balance(console, report)
    _show_lifts(console, report)
    _show_guardrails(console, report)


def _show_balance(console: Console, report: Mapping[str, Any]) -> None:
    names = ("people", "exposures", "clicks", "carts", "purchases", "value")
    rows = [
        [Cell(arm["arm"]), Cell(f"{arm['share']:.1%}"), *(Cell(f"{arm[name]:,.0f}") for name in names)]
        for arm in report["arms"]
    ]
    show_table(console, ("arm", "meant", *names), rows, title="Arms")
    balance = report["balance"]
    if balance["is_alarm"]:
        say(
            console,
            f"OUT OF BALANCE (always-valid p = {balance['p']:.2g}): people are missing from an arm, so no lift below means"
            " anything. Look for what loses lists or events of one arm.",
            "red",
        )
    else:
        say(console, f"As many people in each arm as were meant (always-valid p = {balance['p']:.2g}).")


def _show_lifts(console: Console, report: Mapping[str, Any]) -> None:
    rows = []
    for row in report["lifts"]:
        if row["too_few"]:
            rows.append([Cell(row["arm"]), Cell(row["outcome"]), *[Cell(NOTHING)] * 4, Cell(_TOO_FEW[row["too_few"]])])
            continue
        rows.append(
            [
                Cell(row["arm"]),
                Cell(row["outcome"]),
                Cell(_rate(row["control"])),
                Cell(_rate(row["treatment"])),
                Cell(_lift(row)),
                Cell(NOTHING if row["explained"] is None else f"{row['explained']:.0%}"),
                Cell(_verdict(row), "ok" if row["is_found"] else "plain"),
            ]
        )
    show_table(
        console,
        ("arm", "outcome", report["baseline"], "arm's", "lift, always-valid 95 %", "CUPED", ""),
        rows,
        title=f"Lifts over {report['baseline']}; you may look at any time",
    )


def _verdict(row: Mapping[str, Any]) -> str:
    if not row["is_found"]:
        return "no difference found yet"
    return "better" if row["difference"] > 0 else "worse"


def _show_guardrails(console: Console, report: Mapping[str, Any]) -> None:
    names = ("lists", "places", "items", "in_common", "categories", "late_s_median", "late_s_95")
    rows = [[Cell(row["arm"]), *(Cell(_number(row[name])) for name in names)] for row in report["guardrails"]]
    if rows:
        headings = ("arm", "lists", "places", "items", "in common", "categories", "late, s", "95 %")
        show_table(console, headings, rows, title="Their last lists, of as many people each")


def _lift(row: Mapping[str, Any]) -> str:
    if row["relative"] is None:
        return f"{_rate(row['difference'])} [{_rate(row['low'])}, {_rate(row['high'])}]"
    high = math.inf if row["relative_high"] is None else row["relative_high"]
    return f"{row['relative']:+.1%} [{row['relative_low']:+.1%}, {'…' if math.isinf(high) else f'{high:+.1%}'}]"


def _rate(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"

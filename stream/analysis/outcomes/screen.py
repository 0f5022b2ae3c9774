"""What a person sees of `penchant report outcomes`: a few tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

from models.vocabulary import STRATEGIES
from stream.analysis.outcomes.figures import ESTIMATES, METHODS
from stream.display.terminal import Cell, count, say, show_table

NOTHING: Final = "–"
_SLOTS: Final = 10
"""Shown on a terminal; the others are in the JSON."""


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """The report in tables, credits of the action and by the rule that were asked for."""
    read = report["read"]
    say(
        console,
        f"{sum(row['outcomes'] for row in report['outcomes']):,} outcomes and {count(read['exposures'], 'exposure')} of "
        f"{read['people']:,} people, {report['from']} to {report['to']}.",
        "bold",
    )
    if read["people_share"] < 1.0:
        say(console, f"More than fits: a sample, {read['people_share']:.2%} of the people.", "yellow")
    if read["exposures_not_placed"]:
        say(
            console,
            f"{count(read['exposures_not_placed'], 'exposure')} of lists that were not found: left out of rates.",
        )
    _show_outcomes(console, report)
    _show_credits(console, report)
    _show_click_rates(console, report)
    _show_explored(console, report)
    _show_moved(console, report)
    _show_position_bias(console, report)
    _show_corrected(console, report)


def _show_outcomes(console: Console, report: Mapping[str, Any]) -> None:
    rows = [
        [
            Cell(row["action"]),
            Cell(row["evidence"]),
            Cell(f"{row['outcomes']:,}"),
            Cell(f"{row['unattributed']:.1%}"),
            Cell(f"{row['value']:,.2f}"),
        ]
        for row in report["outcomes"]
    ]
    if rows:
        show_table(console, ("action", "evidence", "outcomes", "unattributed", "value"), rows, title="Outcomes")


def _show_credits(console: Console, report: Mapping[str, Any]) -> None:
    action, rule = report["action"], report["rule"]
    group = report["credits"].get(action)
    if group is None:
        others = ", ".join(report["credits"]) or "none at all"
        say(console, f"No outcome of {action}; there are: {others}. --action chooses.", "yellow")
        return
    rows = []
    for name, each in group["rules"].items():
        earned = (_number(found["credit"], 2) for found in each["strategies"].values())
        rows.append([Cell(name, "ok" if name == rule else "plain"), *map(Cell, earned)])
    value = (_number(found["value"], 2) for found in group["rules"][rule]["strategies"].values())
    rows.append([Cell(f"value, {rule}", "ok"), *map(Cell, value)])
    title = f"Credits of {group['outcomes']:,} {action} outcomes by rule; to nothing {group['unattributed']:,.2f}"
    show_table(console, ("rule", *STRATEGIES), rows, title=title)
    slots = {slot: credit for slot, credit in group["rules"][rule]["slots"].items() if int(slot) <= _SLOTS}
    if slots:
        headings = ("slot", *("not known" if slot == "0" else slot for slot in slots))
        show_table(console, headings, [[Cell(rule), *(Cell(_number(credit, 2)) for credit in slots.values())]])


def _show_click_rates(console: Console, report: Mapping[str, Any]) -> None:
    where = "click_rates" if report["click_rates"] else "ever"
    rates = report["click_rates"] or report["ever"]["click_rates"]
    rows = [
        [
            Cell(str(row["slot"])),
            Cell(row["strategy"]),
            Cell(f"{row['exposures']:,.0f}"),
            *(Cell(percent(row[name])) for name in ESTIMATES),
        ]
        for row in rates
        if row["slot"] <= _SLOTS
    ]
    if rows:
        title = "Click rates in % if a strategy always filled a slot, 95 %"
        since = "" if where == "click_rates" else ", since the beginning"
        headings = ("slot", "strategy", "exposures", "ips", "snips", "doubly robust")
        show_table(console, headings, rows, title=title + since)


def _show_explored(console: Console, report: Mapping[str, Any]) -> None:
    found = report["explored"] or report["ever"]["explored"]
    rows = [
        [
            Cell(str(row["slot"])),
            Cell(f"{row['exposures']:,.0f}"),
            Cell(percent(row["click_rate"])),
            Cell(percent(row["kept_click_rate"])),
            Cell(f"{row['kept_effective']:,.0f}"),
        ]
        for row in found
    ]
    if rows:
        since = "" if report["explored"] else ", since the beginning"
        headings = ("slot", "explored", "click rate", "of the same place kept", "effective")
        show_table(console, headings, rows, title=f"Click rates of explored places in %, 95 %{since}")


def _show_moved(console: Console, report: Mapping[str, Any]) -> None:
    rows = [
        [
            Cell(row["moved_by"]),
            Cell(f"{row['exposures']:,}"),
            Cell(f"{row['clicks']:,}"),
            Cell(f"{row['purchases']:,}"),
            Cell(f"{100 * row['click_rate']:.3g}"),
            Cell(NOTHING if row["unmoved_click_rate"] is None else f"{100 * row['unmoved_click_rate']:.3g}"),
            Cell(percent(row["difference"])),
        ]
        for row in report["moved"]
    ]
    if rows:
        headings = ("moved by", "exposures", "clicks", "purchases", "click rate", "unmoved, same slots", "difference")
        show_table(console, headings, rows, title="Click rates of places that something moved in %, 95 %")


def _show_position_bias(console: Console, report: Mapping[str, Any]) -> None:
    rows = [
        [Cell(str(row["slot"])), Cell(f"{row['exposures']:,.0f}"), Cell(f"{row['clicks']:,.0f}")]
        + [Cell(interval(row[name])) for name in METHODS]
        for row in report["position_bias"][:_SLOTS]
    ]
    if rows:
        headings = ("slot", "exposures", "clicks", *METHODS)
        show_table(console, headings, rows, title="Examined, relative to slot 1, 95 %")


def _show_corrected(console: Console, report: Mapping[str, Any]) -> None:
    rows = [
        [
            Cell(row["strategy"]),
            Cell(f"{row['exposures']:,.0f}"),
            Cell(percent(row["click_rate"])),
            Cell(percent(row["corrected"])),
        ]
        for row in report["strategies_at_slot_1"]
    ]
    if rows:
        headings = ("strategy", "exposures", "click rate", "as if in slot 1")
        show_table(console, headings, rows, title="Click rates of strategies in %, corrected for position, 95 %")


def interval(found: Mapping[str, float] | None) -> str:
    """`0.120 [0.100, 0.140]`."""
    return NOTHING if found is None else f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def percent(found: Mapping[str, float] | None) -> str:
    """`12.3 [10.1, 14.2]`, of probabilities."""
    if found is None:
        return NOTHING
    value, low, high = (f"{100 * found[name]:.3g}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _number(value: float | None, digits: int = 3) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"

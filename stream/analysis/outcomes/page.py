"""The report of outcomes as one HTML file that needs nothing else: tables, and pictures inside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from stream.analysis.outcomes.credits import ALL_RULES
from stream.analysis.outcomes.figures import ESTIMATES, METHODS
from stream.analysis.outcomes.screen import interval
from stream.analysis.rankings.page import document, picture_tag, table


def page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """HTML. Whatever comes from records or the command line is escaped.

    Args:
        report: as written to JSON.
        pictures: PNG files by title.
    """
    read = report["read"]
    facts = ", ".join(f"{escape(name)} {value:,}" for name, value in read.items())
    parts = [
        f"<h1>What recommendations earned</h1><p><code>{escape(report['command'])}</code></p>",
        f"<p>{escape(report['from'])} to {escape(report['to'])}; {facts}</p>",
        "<h2>Outcomes</h2>",
        _outcomes(report["outcomes"]),
        *(_credits(action, group) for action, group in report["credits"].items()),
        "<h2>Click rates if a strategy always filled a slot, 95 %</h2>",
        _click_rates(report["click_rates"]),
        "<h2>The same since the beginning</h2>",
        _click_rates(report["ever"]["click_rates"]),
        "<h2>Explored places, and the same places where they kept their item, 95 %</h2>",
        _explored(report["explored"]),
        "<h2>The same since the beginning</h2>",
        _explored(report["ever"]["explored"]),
        "<h2>Places that something moved, beside unmoved ones in the same slots, 95 %</h2>",
        _moved(report["moved"]),
        "<h2>Examined, relative to slot 1, 95 %</h2>",
        _position_bias(report["position_bias"]),
        "<h2>Click rates of strategies, corrected for position, 95 %</h2>",
        _corrected(report["strategies_at_slot_1"]),
        *(picture_tag(title, picture) for title, picture in pictures.items()),
    ]
    return document("What recommendations earned", parts)


def _outcomes(rows: Iterable[Mapping[str, Any]]) -> str:
    cells = (
        [r["action"], r["evidence"], f"{r['outcomes']:,}", f"{r['unattributed']:.1%}", f"{r['value']:,.2f}"]
        for r in rows
    )
    return table(("action", "evidence", "outcomes", "unattributed", "value"), cells)


def _credits(action: str, group: Mapping[str, Any]) -> str:
    parts = [f"<h2>Credits of {escape(action)}: {group['outcomes']:,} outcomes</h2>"]
    for what in ("credit", "value"):
        rules = group["rules"]
        rows = [
            [name, *(f"{rules[rule]['strategies'][name][what]:,.2f}" for rule in ALL_RULES)]
            for name in rules[ALL_RULES[0]]["strategies"]
        ]
        if what == "credit":
            rows.append(["nothing", *([f"{group['unattributed']:,.2f}"] * len(ALL_RULES))])
        parts.append(table((what, *ALL_RULES), rows))
    slots = sorted({slot for each in group["rules"].values() for slot in each["slots"]}, key=int)
    by_slot = [
        ["not known" if slot == "0" else slot]
        + [f"{group['rules'][rule]['slots'].get(slot, 0.0):,.2f}" for rule in ALL_RULES]
        for slot in slots
    ]
    parts.append(table(("slot", *ALL_RULES), by_slot))
    return "".join(parts)


def _click_rates(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        [
            str(row["slot"]),
            row["strategy"],
            f"{row['exposures']:,.0f}",
            f"{row['clicks']:,.0f}",
            *(interval(row[name]) for name in ESTIMATES),
            f"{row['effective']:,.0f}",
            f"{row['overlap']:.2f}",
        ]
        for row in rows
    )
    return table(("slot", "strategy", "exposures", "clicks", *ESTIMATES, "effective", "overlap"), cells)


def _explored(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        [
            str(row["slot"]),
            f"{row['exposures']:,.0f}",
            f"{row['clicks']:,.0f}",
            interval(row["click_rate"]),
            interval(row["kept_click_rate"]),
            f"{row['kept_effective']:,.0f}",
        ]
        for row in rows
    )
    return table(("slot", "explored", "clicks", "click rate", "of the same place kept", "effective"), cells)


def _moved(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        [
            row["moved_by"],
            f"{row['exposures']:,}",
            f"{row['clicks']:,}",
            f"{row['purchases']:,}",
            f"{row['click_rate']:.4f}",
            "" if row["unmoved_click_rate"] is None else f"{row['unmoved_click_rate']:.4f}",
            interval(row["difference"]),
        ]
        for row in rows
    )
    headings = ("moved by", "exposures", "clicks", "purchases", "click rate", "unmoved, same slots", "difference")
    return table(headings, cells)


def _position_bias(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        [str(row["slot"]), f"{row['exposures']:,.0f}", f"{row['clicks']:,.0f}", *(interval(row[m]) for m in METHODS)]
        for row in rows
    )
    return table(("slot", "exposures", "clicks", *METHODS), cells)


def _corrected(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        [row["strategy"], f"{row['exposures']:,.0f}", interval(row["click_rate"]), interval(row["corrected"])]
        for row in rows
    )
    return table(("strategy", "exposures", "click rate", "as if in slot 1"), cells)

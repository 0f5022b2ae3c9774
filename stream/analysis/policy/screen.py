"""What a person sees of `penchant evaluate policy`."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console

from stream.display.terminal import Cell, count, say, show_table

_UNITS: Final = {"place": "clicks per explored place seen", "list": "clicks per list seen"}


def show_report(console: Console, report: dict[str, Any]) -> None:
    """The report of `stream.analysis.policy.figures`: what was read, a table, what is not said and why."""
    counts = report["counts"]
    say(
        console,
        f"{count(counts['lists_seen_that_explore'], 'list')} of {counts['people']:,} people seen, "
        f"{count(counts['places_seen'], 'place')} of them that could be drawn, {counts['places_drawn']:,} drawn at a rate "
        f"of {report['logged_rate']:g}; judged: {report['candidate_rate']:g}.",
        "bold",
    )
    rows = []
    for name, unit in report["units"].items():
        told = unit["estimates"] or {}
        cells = [_cell(told.get(each), sign) for each, sign in _COLUMNS]
        rows.append([Cell(_UNITS[name]), Cell(f"{unit['logged']:.4f}"), *cells, Cell(f"{unit['effective']:,.0f}")])
    headings = ("", "logged", "IPS", "SNIPS", "doubly robust", "less logged", "effective people")
    show_table(console, headings, rows)
    for name, unit in report["units"].items():
        if unit["refused"]:
            say(console, f"{_UNITS[name]}: nothing is said from {unit['refused']}.", "yellow")


_COLUMNS: Final = (("ips", ""), ("snips", ""), ("doubly_robust", ""), ("difference", "+"))


def _cell(found: dict[str, float] | None, sign: str) -> Cell:
    if found is None:
        return Cell("–", "skip")
    value, low, high = (f"{found[name]:{sign}.4f}" for name in ("value", "low", "high"))
    return Cell(f"{value} [{low}, {high}]")

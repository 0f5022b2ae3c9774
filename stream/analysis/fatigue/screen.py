"""What a person sees of `penchant train fatigue`."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from stream.analysis.fatigue.figures import placement_of
from stream.display.terminal import Cell, count, say, show_table


def show_report(console: Console, report: dict[str, Any]) -> None:
    """What was read, click rates, weights, and what to set."""
    say(
        console,
        f"{count(report['exposures'], 'exposure')} of {report['people']:,} people, {report['clicks']:,} clicked; "
        f"{report['seen_before']:,} of something seen before and not taken.",
        "bold",
    )
    rows = [
        (
            Cell(row["seen_before"]),
            Cell(f"{row['exposures']:,}"),
            Cell(f"{100 * row['clicks'] / row['exposures']:.2f}" if row["exposures"] else "–"),
        )
        for row in report["click_rates"]
    ]
    show_table(console, ("seen before", "exposures", "click rate, %"), rows)
    if report["half_lives"]:
        fits = [
            (
                Cell(f"{row['half_life_h']:g}"),
                Cell(f"{row['weight']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"),
                Cell(f"{row['log_likelihood']:.6f}"),
            )
            for row in report["half_lives"]
        ]
        show_table(console, ("half-life, h", "weight, 95 %", "log-likelihood"), fits)
    if report["refused"]:
        say(console, f"Nothing is said: {report['refused']}.", "yellow")
        return
    settings = placement_of(report)
    if settings is None:
        say(console, "The weight is not surely above 0: what is set stays.", "yellow")
        return
    say(console, ", ".join(f"{name} = {value:g}" for name, value in settings.items()))

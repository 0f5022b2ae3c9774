"""What a rule cost: lists as they were beside those without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from stream.display.terminal import Cell, show_table


def price_of(rule_id: str, without: dict[str, Any]) -> dict[str, Any]:
    """`without`: the comparison of a simulation that leaves the rule out."""
    lists, changed = without["lists"], without["changed"]
    clicks = without["expected_clicks"]
    cost = clicks["simulated"] - clicks["recorded"]
    moved = {row["name"]: row["recorded"] for row in without["moved_by"]}
    clicked = without["outcomes"].get("click", {"kept": 0, "lost": 0})
    return {
        "rule_id": rule_id,
        "lists": lists,
        "lists_changed": changed,
        "places": moved.get(f"rule:{rule_id}", 0),
        "expected_clicks_given_up": cost,
        "expected_clicks_given_up_per_changed_list": cost / changed if changed else 0.0,
        "expected_clicks_share": cost / clicks["simulated"] if clicks["simulated"] > 0.0 else 0.0,
        "clicks_only_with_rule": clicked["lost"],
        "clicks": clicked["lost"] + clicked["kept"],
    }


def show_prices(console: Console, prices: Sequence[dict[str, Any]], first: int) -> None:
    """A row a rule, the dearest first."""
    rows = [
        (
            Cell(row["rule_id"]),
            Cell(f"{row['lists_changed'] / max(1, row['lists']):.1%}"),
            Cell(f"{row['places']:,}"),
            Cell(f"{row['expected_clicks_given_up_per_changed_list']:+.4f}"),
            Cell(f"{row['expected_clicks_share']:+.2%}"),
            Cell(f"{row['clicks_only_with_rule']:,} of {row['clicks']:,}"),
        )
        for row in sorted(prices, key=lambda row: -row["expected_clicks_given_up"])
    ]
    headings = (
        "rule", "lists changed", "places", "expected clicks given up a changed list", "of all",
        "clicks that only it made possible",
    )  # fmt: skip
    show_table(console, headings, rows, title=f"What rules cost, first {first} places")

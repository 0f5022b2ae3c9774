"""What a person sees of `penchant simulate`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console

from stream.analysis.simulation.run import Proof
from stream.analysis.simulation.value import EFFECTIVE_MIN
from stream.display.terminal import Cell, count, say, show_table

SIDES: Final = ("recorded", "simulated")
PLACES_SHOWN: Final = 20


def show_proof(console: Console, proof: Proof) -> None:
    """Whether the lists came out as they went out."""
    if proof.first_difference is None:
        say(console, f"{count(proof.lists, 'list')} made again, all byte for byte as they went out.", "bold green")
        return
    at = datetime.fromtimestamp(proof.first_difference.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    say(
        console,
        f"{proof.lists - proof.same:,} of {count(proof.lists, 'list')} do not come out as they went out, first one of user "
        f"{proof.first_difference.user_id!r} at {at}: nothing is compared. The journal is of release {proof.release}.",
        "bold red",
    )


def show_comparison(console: Console, found: dict[str, Any]) -> None:
    """The figures of `stream.analysis.simulation.run`."""
    lists, first = max(1, found["lists"]), found["first"]
    clicks = found["expected_clicks"]
    say(
        console,
        f"{found['changed'] / lists:.1%} of the lists differ; of the first {first} places {found['overlap']:.1%} of the items "
        f"are the same; expected clicks there {_change(clicks['recorded'], clicks['simulated'])}; "
        f"{found['items']['recorded']:,} -> {found['items']['simulated']:,} different items.",
        "bold",
    )
    show_table(
        console,
        ("place", "lists", "same item"),
        [
            (Cell(str(row["place"])), Cell(f"{row['lists']:,}"), Cell(f"{row['same'] / max(1, row['lists']):.1%}"))
            for row in found["places"][:PLACES_SHOWN]
        ],
    )
    show_table(
        console,
        ("people with", "lists", "differ", "expected clicks"),
        [
            (
                Cell(row["segment"]),
                Cell(f"{row['lists']:,}"),
                Cell(f"{row['changed'] / row['lists']:.1%}"),
                Cell(_change(row["expected_recorded"], row["expected_simulated"])),
            )
            for row in found["segments"]
        ],
    )
    for title, rows in (("placed by", found["strategies"]), ("moved by", found["moved_by"])):
        if rows:
            show_table(
                console,
                (title, *SIDES),
                [(Cell(row["name"]), *(Cell(f"{row[side]:,}") for side in SIDES)) for row in rows],
            )
    for title, rows in (("more often", found["more_often"]), ("less often", found["less_often"])):
        if rows:
            show_table(
                console,
                (title, *SIDES),
                [(Cell(row["item_id"]), *(Cell(f"{row[side]:,}") for side in SIDES)) for row in rows],
            )
    for action, what in found["outcomes"].items():
        total = what["kept"] + what["lost"]
        say(
            console,
            f"Of {count(total, action)} on the first {first} places {what['kept'] / total:.1%} are on an item that is still "
            "there.",
        )
    _show_value(console, found["explored_places"])


def _show_value(console: Console, value: dict[str, Any]) -> None:
    if not value["places"]:
        say(
            console, "No place that explores was seen: nothing is said of what the candidate's would have been clicked."
        )
        return
    if "ips" not in value:
        say(
            console,
            f"Of {count(value['places'], 'explored place')} seen, {value['effective_people']:.0f} effective people: too few "
            f"({EFFECTIVE_MIN:.0f}) to say what the candidate's would have been clicked.",
            "yellow",
        )
        return
    rows = [(Cell("clicks per explored place seen"), *(_cell(value[name]) for name in ("logged", "ips", "snips")))]
    show_table(console, ("", "logged", "IPS", "SNIPS"), rows)
    say(
        console,
        f"{count(value['places'], 'place')} of {value['people']:,} people, {value['effective_people']:,.0f} effective; mean "
        f"weight {value['mean_weight']:.3f}: what the candidate shows and the log never could is not in it.",
    )


def _cell(found: dict[str, Any]) -> Cell:
    low, high = found["interval"]
    return Cell(f"{found['value']:.4f} [{low:.4f}, {high:.4f}]")


def _change(before: float, after: float) -> str:
    return f"{after / before - 1.0:+.1%}" if before > 0.0 else f"{before:.3g} -> {after:.3g}"

"""What people see: one console for results, one for the rest, and the rule that a pipe gets plain lines.

On a terminal: colours, tables, bars. Anywhere else: one line per thing, fields separated by tabs under a line of headings,
nothing wrapped, no control codes. Whatever comes from a record or a file goes through `clean` first, because a title may hold
escape codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.strict_json import strict_json

Style = Literal["ok", "warn", "fail", "skip", "plain"]

STYLES: dict[str, str] = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim", "plain": ""}


class Cell(NamedTuple):
    """Text of a table's cell and how it looks on a terminal."""

    text: str
    style: Style = "plain"


def stdout() -> Console:
    """Results. Made anew at each call: tests exchange `sys.stdout`."""
    return Console(highlight=False)


def stderr() -> Console:
    """What is about the run: progress, hints, counts; `penchant watch --json | jq` never sees it."""
    return Console(stderr=True, highlight=False)


def clean(text: str, max_characters: int = 200) -> str:
    """`text` on one line without anything that a terminal would obey, cut at `max_characters`."""
    plain = "".join(c if c.isprintable() else " " for c in text[: max_characters + 1])
    return plain if len(plain) <= max_characters else plain[: max_characters - 1] + "…"


def count(number: int, noun: str) -> str:
    """`1 list`, `1,200 lists`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def write_line(console: Console, line: str) -> None:
    """One line just as it is: rich would turn its tabs into spaces."""
    console.file.write(f"{line}\n")
    console.file.flush()


def say(console: Console, text: str, style: str = "") -> None:
    """One line; on a terminal wrapped at words, elsewhere left whole."""
    if console.is_terminal:
        console.print(escape(text), style=style or None)
    else:
        write_line(console, text)


def say_json(console: Console, value: Any) -> None:
    """One JSON value on one line."""
    write_line(console, strict_json(value))


def show_table(console: Console, headings: Sequence[str], rows: Iterable[Sequence[Cell]], title: str = "") -> None:
    """A table on a terminal; elsewhere its title and headings and then a line per row, cells separated by tabs."""
    if not console.is_terminal:
        if title:
            write_line(console, clean(title))
        if any(headings):
            write_line(console, "\t".join(map(clean, headings)))
        for row in rows:
            write_line(console, "\t".join(clean(cell.text, 4000) for cell in row).rstrip("\t"))
        return
    table = Table(title=escape(title) or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for n, heading in enumerate(headings):
        table.add_column(escape(heading), header_style="dim", overflow="fold", no_wrap=n == 0)
    for row in rows:
        styled = (
            f"[{STYLES[cell.style]}]{escape(cell.text)}[/]" if STYLES[cell.style] else escape(cell.text) for cell in row
        )
        table.add_row(*styled)
    console.print(table)

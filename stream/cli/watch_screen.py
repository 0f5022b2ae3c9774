"""What `penchant watch` shows of a list: lines for people, one JSON object for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from stream.display.terminal import clean, say_json, write_line
from stream.wire.join import Joined


class Wanted(NamedTuple):
    """What to show."""

    user: str | None = None
    from_beginning: bool = False
    limit: int | None = None
    top: int = 3
    lang: str = "en"
    as_json: bool = False


def show(console: Console, joined: Joined, title: Callable[[str], str | None], wanted: Wanted) -> None:
    """One list on the console."""
    if wanted.as_json:
        say_json(console, list_to_json(joined, title, wanted))
        return
    for line in format_list(joined, title, wanted):
        if console.is_terminal:
            console.print(line, overflow="ellipsis", no_wrap=True)
        else:
            write_line(console, line.plain)


def format_list(joined: Joined, title: Callable[[str], str | None], wanted: Wanted) -> list[Text]:
    """A list as lines: for whom and how fresh, then each item with its score and, below it, why."""
    list_ = joined.recommendation
    head = Text.assemble(
        (_clock(list_.generated_at), "dim"), "  ", (clean(list_.user_id, 128), "bold"), "  ", (_caused(joined), "cyan")
    )
    lines = [head]
    if not list_.items:
        lines.append(Text("    nothing to recommend", "dim"))
    for item in list_.items[: wanted.top]:
        name = title(item.item_id)
        shown = clean(name or item.item_id)
        beside = f"  {clean(item.item_id, 40)}" if name else ""
        lines.append(Text.assemble(f"{item.rank:4d}  ", (shown, "green"), (f"{beside}  {item.score:.3f}", "dim")))
        reason = joined.reasons.get(item.rank)
        if reason is not None:
            lines.append(Text(f"      {clean(reason.sentence(wanted.lang), 400)}"))
    return lines


def list_to_json(joined: Joined, title: Callable[[str], str | None], wanted: Wanted) -> dict[str, Any]:
    """A list as one JSON object: the record's own fields, and of each shown item title, reason and contributions."""
    list_ = joined.recommendation
    shown = []
    for item in list_.items[: wanted.top]:
        reason = joined.reasons.get(item.rank)
        why = (
            {}
            if reason is None
            else {
                "reason": reason.sentence(wanted.lang),
                "contributions": msgspec.to_builtins(reason.contributions),
            }
        )
        shown.append(msgspec.to_builtins(item) | {"title": title(item.item_id)} | why)
    record: dict[str, Any] = msgspec.to_builtins(list_)
    return record | {"freshness_ms": joined.freshness_ms, "items": shown}


def _clock(time_ms: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_ms / 1000))


def _caused(joined: Joined) -> str:
    if joined.recommendation.trigger != "event":
        return f"({joined.recommendation.trigger})"
    if joined.freshness_ms is None:
        return "(event)"
    seconds = joined.freshness_ms / 1000
    return f"{joined.freshness_ms} ms after the event" if seconds < 10 else f"{seconds:,.0f} s after the event"

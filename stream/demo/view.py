"""The demo's screen: values in, something to draw out. Every line fits its width, the whole fits its height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.demo.shoppers import Card, Place
from stream.demo.tally import Figures

_HEAD_LINES: Final = 3
_CARD_LINES_MIN: Final = 7
_PLACES_MAX: Final = 12
_FRAME_LINES: Final = 4  # two of the box, one each for what was bought and what is gone
_NARROW: Final = 100
_STORY_ITEMS: Final = 3


class View(NamedTuple):
    """One moment of the demo."""

    phase: str
    done: float
    """0 to 1."""
    sent: int
    total: int
    left_s: float | None
    shop_time_ms: int | None
    events_per_s: float
    figures: Figures
    cards: Sequence[Card]
    titles: Mapping[str, str]
    note: str = ""
    """What a person should know of this machine."""


def draw(view: View, width: int, height: int) -> RenderableType:
    """The live screen, at most `height` lines: figures, and as many shoppers as fit."""
    room = height - _HEAD_LINES
    shown = view.cards[: max(0, room // _CARD_LINES_MIN)]
    lines = min(room // max(1, len(shown)), _PLACES_MAX + _FRAME_LINES)
    panels = [_panel(card, view.titles, width, lines) for card in shown]
    return Group(*_head(view, width), *panels)


def line(view: View) -> str:
    """The same moment in one line, for a log."""
    parts = [view.phase, f"{view.done:.0%}"]
    if view.shop_time_ms is not None:
        parts.append(_day(view.shop_time_ms))
    parts += [f"{view.sent:,} of {view.total:,} events", f"{view.events_per_s:,.0f}/s", _freshness(view.figures)]
    if view.left_s is not None:
        parts.append(f"{view.left_s:.0f} s left")
    return " · ".join(parts)


def story(card: Card, titles: Mapping[str, str]) -> str:
    """What happened to one shopper, in one line."""
    bought = _bought(card, titles, _STORY_ITEMS).plain
    new = next((place for place in card.places if place.moved is None), None)
    if new is None:
        return f"shopper {card.user_id} bought {bought}; the list has the same items"
    title, reason = titles.get(new.item_id, new.item_id), new.reason or "the reason is on its way"
    return f"shopper {card.user_id} bought {bought}; new at {new.rank}: {title} ({reason})"


def _head(view: View, width: int) -> list[RenderableType]:
    first = Text.assemble(
        ("Penchant", "bold cyan"),
        f"  {view.note}  " if view.note else "  one year of a real gift shop, replayed  ",
        (f"[{view.phase}]", "dim"),
    )
    second = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    day = _day(view.shop_time_ms) if view.shop_time_ms is not None else " " * 11
    left = "" if view.left_s is None else f"{int(view.left_s) // 60}:{int(view.left_s) % 60:02d} left"
    counted = f"{view.done:4.0%}  {view.sent:,}/{view.total:,} events  {left}"
    bar_width = max(8, min(60, width - len(day) - len(counted) - 4))
    second.add_row(day, ProgressBar(total=1.0, completed=view.done, width=bar_width), Text(counted, no_wrap=True))
    figures = view.figures
    third = Text.assemble(
        (f"{view.events_per_s:,.0f}", "bold"),
        " events/s  ",
        (f"{figures.recommendations:,}", "bold"),
        " lists  ",
        _freshness(figures),
        f"  {sum(figures.refused.values())} refused",
    )
    for text in (first, third):
        text.no_wrap, text.overflow = True, "ellipsis"
    return [first, second, third]


def _panel(card: Card, titles: Mapping[str, str], width: int, height: int) -> RenderableType:
    """One shopper in `height` lines with the frame; before the first change a frame that waits for it."""
    if not card.version:
        waiting = Text("has not bought anything yet", "dim")
        heading = Text(f"shopper {card.user_id}", "bold")
        return Panel(waiting, title=heading, title_align="left", box=box.ROUNDED, height=height, padding=(0, 1))
    left = ", ".join(titles.get(item_id, item_id) for item_id in card.left)
    lines = [
        Text.assemble(("bought  ", "dim"), _bought(card, titles)),
        Text.assemble(("gone    ", "dim"), (left or "nothing", "dim")),
    ]
    for text in lines:
        text.no_wrap, text.overflow = True, "ellipsis"
    title_width = 28 if width < _NARROW else 36
    table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    table.add_column(width=2, justify="right", style="dim", no_wrap=True)
    table.add_column(width=3, no_wrap=True)
    table.add_column(width=title_width, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    for place in card.places[: height - _FRAME_LINES]:
        title = titles.get(place.item_id, place.item_id)
        table.add_row(str(place.rank), _mark(place), Text(title, "bold" if place.moved is None else ""), place.reason)
    heading = Text(f"shopper {card.user_id}  {_day(card.event_time_ms)}", "bold")
    return Panel(
        Group(*lines, table),
        title=heading,
        title_align="left",
        box=box.ROUNDED,
        height=height,
        padding=(0, 1),
    )


def _bought(card: Card, titles: Mapping[str, str], most: int | None = None) -> Text:
    """Items bought, those that had been recommended first; after `most` of them only how many more."""
    text = Text()
    for item_id, rank in sorted(card.bought, key=lambda pair: (pair[1] is None, pair[1] or 0))[:most]:
        if text:
            text.append(", ")
        title = titles.get(item_id, item_id)
        text.append(*((title, "") if rank is None else (f"{title} (was no. {rank})", "bold green")))
    if most is not None and len(card.bought) > most:
        text.append(f" and {len(card.bought) - most} more")
    return text


def _mark(place: Place) -> Text:
    if place.moved is None:
        return Text("new", "bold green")
    if place.moved == 0:
        return Text(" = ", "dim")
    return Text(f"↑{place.moved}", "green") if place.moved > 0 else Text(f"↓{-place.moved}", "red")


def _freshness(figures: Figures) -> str:
    if figures.freshness_p50_ms is None or figures.freshness_p99_ms is None:
        return "freshness -"
    return f"freshness p50 {duration(figures.freshness_p50_ms)}, p99 {duration(figures.freshness_p99_ms)}"


def duration(milliseconds: float) -> str:
    """As a person says it."""
    return f"{milliseconds:,.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%d %b %Y}"

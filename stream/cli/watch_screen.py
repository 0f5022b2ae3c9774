"""What `penchant watch` shows of a list: lines for people, one JSON object for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, get_args

import msgspec
from rich.console import Console
from rich.text import Text

from stream.display.terminal import clean, say_json, write_line
from stream.wire.join import Joined
from stream.wire.records import Trigger


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
    labels, caused = _labels(wanted.lang), _caused(joined, wanted.lang)
    head = Text.assemble(
        (_clock(list_.generated_at), "dim"), "  ", (clean(list_.user_id, 128), "bold"), "  ", (caused, "cyan")
    )
    lines = [head]
    if not list_.items:
        lines.append(Text(f"    {labels['nothing']}", "dim"))
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


def _caused(joined: Joined, lang: str) -> str:
    labels = _labels(lang)
    if joined.recommendation.trigger != "event" or joined.freshness_ms is None:
        return f"({labels[joined.recommendation.trigger]})"
    seconds = joined.freshness_ms / 1000
    return labels["after_ms" if seconds < 10 else "after_s"].format(ms=joined.freshness_ms, s=seconds)


def _labels(lang: str) -> dict[str, str]:
    return _LABELS.get(lang, _LABELS["en"])


_LABELS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "nothing": "nothing to recommend",
        "after_ms": "{ms} ms after the event",
        "after_s": "{s:,.0f} s after the event",
        **{trigger: trigger for trigger in get_args(Trigger)},
    },
    "zh": {
        "nothing": "没有可推荐的",
        "after_ms": "行为后 {ms} 毫秒",
        "after_s": "行为后 {s:,.0f} 秒",
        "event": "行为",
        "refresh": "刷新",
        "catalog": "商品目录变动",
        "model": "模型变动",
    },
}

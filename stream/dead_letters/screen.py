"""What a person sees of letters, of a replay and of a purge."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stream.dead_letters.letter import Letter, text_of
from stream.dead_letters.listing import Line, Totals
from stream.dead_letters.purge import PurgePlan
from stream.dead_letters.replay import ReplayReport
from stream.dead_letters.returned import Returned
from stream.display.bars import OnTerminal
from stream.display.terminal import Cell, clean, count, say, show_table, write_line

SHOWN_BYTES: Final = 64 << 10
"""Of a value; --raw gives all."""

PLAIN_EVERY_S: Final = 5.0


def show_lines(console: Console, lines: list[Line]) -> None:
    """A table, in the order given."""
    rows = [
        (
            Cell(str(line.place)),
            Cell(time_of(line.refused_ms), "skip"),
            Cell(clean(line.reason, 40), "warn"),
            Cell(f"{clean(line.source.topic)} {line.source.partition}:{line.source.offset}"),
            Cell("–" if line.key is None else clean(text_of(line.key), 40)),
            Cell(f"{line.n_bytes:,}"),
            Cell("sent again", "ok") if line.was_replayed else Cell("no record" if line.no_record else ""),
            Cell(clean(line.detail)),
        )
        for line in lines
    ]
    show_table(console, ("letter", "refused", "reason", "read from", "key", "bytes", "", "detail"), rows)


def json_of(line: Line) -> dict[str, Any]:
    """For `--json`."""
    return {
        "partition": line.place.partition,
        "offset": line.place.offset,
        "refused_at": line.refused_ms,
        "reason": line.reason,
        "detail": line.detail,
        "source": line.source._asdict(),
        "key": None if line.key is None else text_of(line.key),
        "bytes": line.n_bytes,
        "replayed": line.was_replayed,
        "can_be_replayed": line.no_record is None,
    }


def summary_of(totals: Totals, shown: int) -> str:
    """One line."""
    if not totals.letters:
        return "No dead letters match."
    by_reason = ", ".join(f"{number:,} {clean(reason, 40)}" for reason, number in totals.by_reason.most_common())
    more = "" if shown == totals.letters else f" Shown: the newest {shown:,}."
    return f"{count(totals.letters, 'dead letter')}: {by_reason}; {totals.replayed:,} were sent again.{more}"


def show_letter(console: Console, line: Line, letter: Letter) -> None:
    """Headers, reason, bytes."""
    source, value = letter.source, letter.value
    facts = [
        ("letter", str(letter.place)),
        ("refused", time_of(letter.refused_ms)),
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("read from", f"{source.topic} partition {source.partition} offset {source.offset}"),
        ("its timestamp", time_of(source.timestamp_ms) if source.timestamp_ms > 0 else "none"),
        ("key", "none" if letter.key is None else text_of(letter.key)),
        *((f"header {name}", "none" if held is None else text_of(held)) for name, held in letter.headers),
    ]
    if letter.headers_left_out:
        facts.append(("headers", f"{letter.headers_left_out} were too large to be kept"))
    facts.append(("sent again", "yes" if line.was_replayed else line.no_record or "no"))
    facts.append(("bytes", "no value" if value is None else _length(letter, value)))
    show_table(console, (), [(Cell(name, "skip"), Cell(clean(text, 4000))) for name, text in facts])
    if value:
        write_line(console, "")
        write_line(console, printable(value[:SHOWN_BYTES]))
        if len(value) > SHOWN_BYTES:
            say(console, f"… {len(value) - SHOWN_BYTES:,} more bytes: --raw", "dim")


def printable(value: bytes) -> str:
    """Lines stay lines; what no terminal should obey is escaped."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text_of(value))


def _length(letter: Letter, value: bytes) -> str:
    if letter.whole_bytes is None:
        return f"{len(value):,}"
    return f"the first {len(value):,} of {letter.whole_bytes:,}"


def show_replay(console: Console, report: ReplayReport, *, is_dry: bool) -> None:
    """The outcome in a few lines."""
    sent = report.sent.total()
    where = ", ".join(f"{number:,} to {topic}" for topic, number in sorted(report.sent.items())) or "nothing"
    did = "would be sent again" if is_dry else "sent again"
    end = " Interrupted: the next replay goes on." if report.interrupted else ""
    say(console, f"{count(sent, 'record')} {did}: {where}.{end}", "bold")
    for why, number in report.passed.most_common():
        say(console, f"{count(number, 'letter')} passed over: {clean(why)}.")
    if report.refused:
        say(console, f"{count(report.refused, 'record')} not taken by the broker:", "bold red")
        rows = [
            (Cell(str(each.letter.place), "warn"), Cell(clean(each.letter.source.topic)), Cell(clean(each.why)))
            for each in report.examples
        ]
        show_table(console, ("letter", "to", "the broker says"), rows)
        say(console, "Fix: a timestamp that it does not take: --timestamp now; else the topic's max.message.bytes.")


def show_returned(console: Console, returned: Returned) -> None:
    """What `--wait` found."""
    say(console, f"{count(returned.came_back, 'record')} came back as a new letter.")
    if returned.unread:
        say(console, f"{count(returned.unread, 'event')} not read by workers yet: of them nothing is known.", "yellow")
    if returned.untold:
        say(console, f"{count(returned.untold, 'record')} went to other topics than the events: more may come back.")


def show_plan(console: Console, plan: PurgePlan) -> None:
    """What a purge would do."""
    says = f"{count(plan.deleted, 'dead letter')} can be deleted"
    say(console, f"{says}, of which {plan.never_replayed:,} were never sent again.", "bold")
    for partition, cut in sorted(plan.cuts.items()):
        kept = plan.first_kept.get(partition)
        stops = "" if kept is None or kept.offset != cut else f"; it stops before {kept}, which is to be kept"
        say(console, f"partition {partition}: everything before offset {cut:,}{stops}")
    if plan.behind:
        say(
            console,
            f"{count(plan.behind, 'letter')} that you mean cannot be deleted: one that is to be kept lies before.",
            "yellow",
        )


class ReplayProgress(OnTerminal):
    """A context manager; `update` is the `on_progress` of `stream.dead_letters.replay`."""

    def __init__(self, console: Console, letters: int) -> None:
        super().__init__(
            console,
            TextColumn("{task.fields[sent]:,} sent"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._letters = letters
        self._next_line_s = time.monotonic() + PLAIN_EVERY_S
        if self.bar is not None:
            self._task = self.bar.add_task("", total=max(1, letters), sent=0)

    def update(self, report: ReplayReport) -> None:
        """Called after each part and for each letter that is passed over."""
        if self.bar is not None:
            self.bar.update(self._task, completed=report.done, sent=report.sent.total())
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + PLAIN_EVERY_S
            say(self.console, f"{report.done:,} of {self._letters:,} letters, {report.sent.total():,} sent")


def time_of(time_ms: int) -> str:
    """In UTC, to the second; a time that no calendar has as its number."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"

"""What a person sees of `replay` and `items load`: a bar while it runs, then what was sent, and what was not and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from stream.cli.connection import reach
from stream.display.bars import OnTerminal
from stream.display.terminal import Cell, clean, count, say, show_table, stderr, stdout
from stream.errors import InputFileError, SettingsError
from stream.files.feed import MAX_SPEED, Pacer, ReplayReport
from stream.files.mapping import Mapping
from stream.files.reading import total_bytes
from stream.params import decode_limits
from stream.settings import Settings

Send = Callable[..., ReplayReport]

PLAIN_EVERY_S = 5.0
"""Without a terminal a line this often; a log needs no more."""


class FileProgress(OnTerminal):
    """A context manager; `update` is the `on_progress` of `stream.files.replay`."""

    def __init__(self, console: Console, path: Path, total_bytes: int) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[sent]:,} sent"),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._name, self._total = clean(path.name, 24), max(1, total_bytes)
        self._next_line_s = time.monotonic() + PLAIN_EVERY_S
        if self.bar is not None:
            self._task = self.bar.add_task(escape(self._name), total=self._total, sent=0)

    def update(self, sent: int, rejected: int, bytes_read: int) -> None:
        """Called at most ten times a second."""
        if self.bar is not None:
            self.bar.update(self._task, completed=bytes_read, sent=sent)
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + PLAIN_EVERY_S
            done = f"{100 * bytes_read / self._total:.0f}%"
            say(self.console, f"{self._name}: {done} read, {sent:,} sent, {rejected:,} rejected")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(f"{task.fields['sent'] / elapsed:,.0f}/s" if elapsed else "–/s", style="cyan")


def parse_speed(text: str) -> float:
    """`max`, or a factor above 0.

    Raises:
        SettingsError: it is neither.
    """
    try:
        factor = MAX_SPEED if text == "max" else float(text)
    except ValueError:
        raise SettingsError(f"--speed: {text[:40]!r} is no number.", "give a factor such as 3600, or `max`") from None
    Pacer(factor)
    return factor


def send_file(run: Send, what: str, topic: str, file: Path, mapping: Mapping, *, settings: Settings, **how: Any) -> int:
    """`run`, which is `stream.files.replay.replay` or `load_items`, with a bar and a report; the exit code.

    Raises:
        InputFileError: nothing in the file could be sent; also whatever `run` raises.
    """
    size = total_bytes(file)
    reach(settings)
    with FileProgress(stderr(), file, size) as progress:
        report = run(
            file, mapping, settings=settings, limits=decode_limits(settings), on_progress=progress.update, **how
        )
    show_report(stdout(), report, file, topic, what)
    if report.interrupted:
        return 130
    if report.failed:
        return 1
    if not report.delivered:
        raise InputFileError(f"{file} holds nothing that could be sent.", "correct the rows or the --map named above")
    return 0


def show_report(console: Console, report: ReplayReport, path: Path, topic: str, what: str) -> None:
    """The outcome in a few lines; `what` is `event` or `item`."""
    rejected = sum(report.rejected.values())
    say(
        console,
        f"{count(report.delivered, what)} of {clean(path.name)} delivered to {topic} in {report.duration_s:.1f} s "
        f"({report.rate:,.0f}/s), {rejected:,} rejected{', interrupted' if report.interrupted else ''}.",
        "bold",
    )
    if what == "event" and report.first_time_ms is not None and report.last_time_ms is not None:
        say(console, f"They happened from {_day(report.first_time_ms)} to {_day(report.last_time_ms)} UTC.")
    if report.failed:
        say(console, f"{report.failed:,} were not delivered: {clean(report.first_failure or 'no answer')}.", "bold red")
    if rejected:
        _show_rejected(console, report)
    if report.changes:
        rows = [
            (Cell(change.field, "warn"), Cell(f"{changed.rows:,}"), Cell(str(changed.first_line)), Cell(change.what))
            for change, changed in report.changes.items()
        ]
        show_table(console, ("field", "rows", "first line", "what"), rows, title="Sent otherwise than the file has it")


def _show_rejected(console: Console, report: ReplayReport) -> None:
    lines: dict[str, list[str]] = {}
    details: dict[str, str] = {}
    for row in report.examples:
        lines.setdefault(row.reason, []).append(str(row.line))
        details.setdefault(row.reason, clean(row.detail))
    rows = [
        (
            Cell(reason, "warn"),
            Cell(f"{count:,}"),
            Cell(", ".join(lines.get(reason, [])) or "–"),
            Cell(details.get(reason, "not among the first examples")),
        )
        for reason, count in sorted(report.rejected.items(), key=lambda each: -each[1])
    ]
    show_table(console, ("reason", "rows", "such as line", "for example"), rows, title="Rejected, not sent")


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"

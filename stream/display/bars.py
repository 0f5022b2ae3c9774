"""Progress: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from stream.display.terminal import say


class OnTerminal:
    """A context manager around rich's bars where `console` is a terminal; elsewhere `bar` is None and nothing happens."""

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        self.console = console
        self.bar = Progress(*columns, console=console, expand=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()


class Bars(OnTerminal):
    """A bar per task; elsewhere a line when one is finished."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._tasks: dict[str, TaskID] = {}
        self._finished: set[str] = set()

    def step(self, name: str, done: int, total: int) -> None:
        """`done` of `total` of what `name` has to do."""
        if self.bar is not None:
            if name not in self._tasks:
                self._tasks[name] = self.bar.add_task(name, total=total)
            self.bar.update(self._tasks[name], completed=done, total=total)
        elif done == total and name not in self._finished:
            self._finished.add(name)
            say(self.console, f"{name}: done")

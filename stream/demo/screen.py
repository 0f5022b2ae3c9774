"""Shows the demo while it runs: a live screen on a terminal, a line every few seconds anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console
from rich.live import Live

from stream.demo.view import View, draw, line, story
from stream.errors import PenchantError

_FRAME_S: Final = 0.25
_LINE_S: Final = 5.0
_NOTE: Final = ""
"""Stands for the note among the users whose version was told: no user has this id."""


@contextmanager
def in_background(target: Callable[[threading.Event], None]) -> Iterator[None]:
    """`target(stop)` in a thread of its own inside the context; `stop` is set at its end."""
    stop = threading.Event()
    thread = threading.Thread(target=target, args=(stop,), name=target.__name__, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5.0)


@contextmanager
def screen(console: Console, view: Callable[[], View]) -> Iterator[None]:
    """Show `view()` again and again inside the context. A PenchantError of it is left to whoever runs the demo."""

    def show_live(stop: threading.Event) -> None:
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
            while not stop.wait(_FRAME_S):
                size = console.size
                with suppress(PenchantError):
                    live.update(draw(view(), size.width, size.height - 1), refresh=True)

    def show_lines(stop: threading.Event) -> None:
        told: dict[str, int] = {}
        while not stop.wait(_LINE_S):
            with suppress(PenchantError):
                _tell(console, view(), told)

    with in_background(show_live if console.is_terminal else show_lines):
        yield


def _tell(console: Console, view: View, told: dict[str, int]) -> None:
    console.print(line(view), markup=False, soft_wrap=True)
    if view.note and _NOTE not in told:
        told[_NOTE] = 1
        console.print(f"  {view.note}: time runs as fast as lists stay fresh", markup=False, soft_wrap=True)
    for card in view.cards:
        if card.version > told.get(card.user_id, 0):
            told[card.user_id] = card.version
            console.print(f"  {story(card, view.titles)}", markup=False, soft_wrap=True)

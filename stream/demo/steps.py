"""The steps before the replay, each a line with the seconds since the very beginning: plain text, as `make` writes its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.console import Console

STILL_S: Final = 15.0
"""A step that takes longer is told again, so that nobody takes it for dead."""


class Steps:
    """Tells a step when it begins, and that it still goes on. `clock` gives seconds since the beginning."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console, self._clock = console, clock
        self._step, self._told_at = "", float("-inf")

    def tell(self, step: str) -> None:
        """It goes on with this; call it again and again while it does."""
        now = self._clock()
        if step == self._step and now - self._told_at < STILL_S:
            return
        again = " (still)" if step == self._step else ""
        self._step, self._told_at = step, now
        self._console.print(f"{now:4.0f} s  {step}{again}", markup=False, soft_wrap=True)

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return self._clock()

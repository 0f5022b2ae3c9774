"""What runs compiled is compiled before a worker joins its group: stage by stage, told in the log, and ended at once when the
worker is to end."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from models.compiled import CompilingStopped, compiling_unless

logger = logging.getLogger(__name__)

STOP_DEADLINE_S: Final = 1.0
"""Longest wait for the thread after it was asked to stop; it looks between two passes of the compiler."""


class Stage(NamedTuple):
    """A part of the whole that a person may be told of."""

    name: str
    compile_: Callable[[], object]
    """Calls what is to be compiled with next to nothing."""


class Compiling:
    """Runs stages in a thread of its own, so that signals, and whatever else is loaded meanwhile, are served. Use on a loop."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages
        self._asked_to_stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        # A daemon: whatever happens, the process does not wait for a compiler.
        self._thread = threading.Thread(target=self._run, name="compiling", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def finished(self) -> None:
        """Returns once everything is compiled. Raises what a stage raised."""
        await asyncio.shield(self._finished)

    async def stop(self) -> None:
        """End it, if it runs; waits `STOP_DEADLINE_S` at most."""
        self._asked_to_stop.set()
        if self._thread.is_alive():
            await asyncio.wait([self._finished], timeout=STOP_DEADLINE_S)
        if self._finished.done() and not self._finished.cancelled():
            self._finished.exception()  # whoever stops does not ask why it failed

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            compile_stages(self._stages, self._asked_to_stop.is_set)
        except (Exception, CompilingStopped) as raised:  # noqa: BLE001  (the thread's edge: `finished` raises it)
            error = raised
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: BaseException | None) -> None:
        if not self._finished.done():
            if error is None:
                self._finished.set_result(None)
            else:
                self._finished.set_exception(error)


def compile_stages(
    stages: Sequence[Stage], is_to_stop: Callable[[], bool], clock: Callable[[], float] = time.monotonic
) -> None:
    """One after the other, each told as it begins.

    Raises:
        CompilingStopped: `is_to_stop` said so.
    """
    began = clock()
    with compiling_unless(is_to_stop):
        for number, stage in enumerate(stages, 1):
            logger.info("compiling %d of %d: %s (%.0f s so far)", number, len(stages), stage.name, clock() - began)
            stage.compile_()
    logger.info("compiled in %.1f s", clock() - began)

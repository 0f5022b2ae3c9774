"""How a worker ends: signals, failures, the deadline of its shutdown, its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from stream.errors import EXIT_FAILED, EXIT_USAGE, DeliveryError, RefusedError, StuckError, UsageError
from stream.kafka.engine.engine import NOISY_LOGGERS, Engine
from stream.kafka.engine.errors import translated

logger = logging.getLogger(__name__)

CANCEL_AGAIN_S = 2.0
"""How long a preparation has to end once it is cancelled, before it is cancelled again."""

EXIT_GRACE_S = 5.0
"""How long after `shutdown_timeout_s` the process may still need to end."""


class Lifecycle:
    """From the first signal or failure on, the worker stops; what came first is why."""

    def __init__(self, engine: Engine, shutdown_timeout_s: float, on_fatal: Callable[[], None]) -> None:
        """`on_fatal` is called with each failure: nothing more may be committed."""
        self._engine, self._shutdown_timeout_s, self._on_fatal = engine, shutdown_timeout_s, on_fatal
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._failing: set[asyncio.Future[None]] = set()

    @property
    def failure(self) -> BaseException | None:
        """Why the worker stops, if nobody asked it to."""
        return self._failure

    @property
    def may_be_the_topics(self) -> bool:
        """Whether Kafka refused something for another reason than rights."""
        why = None if self._failure is None else translated(self._failure) or self._failure
        return isinstance(why, RefusedError | DeliveryError) and "authoriz" not in str(why).lower()

    @property
    def is_stopping(self) -> bool:
        """Whether the worker ends, for whatever reason."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Drain, commit and end."""
        self._stop.set()

    async def fatal(self, error: BaseException) -> None:
        """Stop because of a bug or a lost guarantee; nothing more is committed."""
        if self._failure is None:
            self._failure = error
            logger.error("stopping: %s", translated(error) or f"{type(error).__name__}: {error}")
            if not logger.isEnabledFor(logging.DEBUG):
                for name in NOISY_LOGGERS:  # its threads and tasks end in tracebacks, which say nothing of the cause
                    logging.getLogger(name).setLevel(logging.CRITICAL)
        self._on_fatal()
        self._stop.set()

    def fatal_soon(self, error: BaseException) -> None:
        """The same from where nothing can be awaited; only the first counts."""
        if self._failure is None:
            failing = asyncio.ensure_future(self.fatal(error))
            self._failing.add(failing)
            failing.add_done_callback(self._failing.discard)

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_for, number)

    def _stop_for(self, number: signal.Signals) -> None:
        logger.info("%s: draining and committing", number.name)
        self.stop()

    async def unless_stopped(self, preparing: Coroutine[Any, Any, None]) -> bool:
        """Run it; False if the worker was stopped meanwhile: it was cancelled then. Raises what it raises."""
        task, stopped = asyncio.ensure_future(preparing), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            await task
            return not self._stop.is_set()
        while not task.done():
            # Again and again: Python 3.11's `asyncio.wait_for` loses a cancellation that comes just when what it waits for
            # is done.
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
        return False

    async def until_stopped(self) -> None:
        """Returns as soon as the worker is to stop, for whatever reason."""
        crashed = asyncio.ensure_future(self._engine.crashed())
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([crashed, stopped], return_when=asyncio.FIRST_COMPLETED)
        for waiter in (crashed, stopped):
            waiter.cancel()
        if (crash := self._engine.crash) is not None:
            await self.fatal(crash)

    async def shut_down(
        self, close: Callable[[], Awaitable[None]], before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Leave the group within `shutdown_timeout_s`, after `before` unless something has failed; then `close`, whatever
        happened."""
        try:
            try:
                await asyncio.wait_for(self._leave(before), self._shutdown_timeout_s)
            except TimeoutError:
                # Before the stores are closed under a commit: it would fail on them, and nobody would hear of it.
                await self.fatal(
                    StuckError(
                        f"did not stop within {self._shutdown_timeout_s:g} s; what was not committed is read again at the "
                        "next start"
                    )
                )
            finally:
                await close()
        except (Exception, asyncio.CancelledError) as error:
            if self._failure is None:
                raise
            # Faust's remains of a lost membership; the reason is the failure that came first.
            logger.warning("while stopping: %s: %s. Nothing to do: what came first is why", type(error).__name__, error)

    async def _leave(self, before: Callable[[], Awaitable[None]] | None) -> None:
        if before is not None and self._failure is None:
            await before()
        await self._engine.stop()

    def raise_failure(self, group_id: str, who: Callable[[], str]) -> None:
        """What stopped the worker, if anything did. `who`: see `stream.kafka.engine.errors.translated`.

        Raises:
            PenchantError: of Kafka's, with what to do; else whatever it was.
        """
        if self._failure is not None:
            if (ours := translated(self._failure, group_id, who)) is not None:
                raise ours from self._failure
            raise self._failure


def exit_now() -> None:
    """End the process, with 0: it was asked to end before it had begun anything. Threads that still connect, load or compile
    are not waited for."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)


def exit_at_last(failure: Callable[[], BaseException | None], after_s: float) -> None:
    """End the process if it has not ended by then.

    What is left of Faust and aiokafka when a worker has lost its group can wait for ever for a thread that has died: such a
    worker serves nobody, and because it lives no supervisor starts another. What it committed is durable, so this is no
    worse than a SIGKILL.
    """

    def end() -> None:
        why = failure()
        sys.stderr.write(f"penchant: {why or 'stopped'} (did not end by itself within {after_s:g} s)\n")
        sys.stderr.flush()
        os._exit(EXIT_USAGE if isinstance(why, UsageError) else EXIT_FAILED)

    timer = threading.Timer(after_s, end)
    timer.daemon = True
    timer.start()

"""What a supervisor may ask a worker over HTTP, beside the metrics: does it live, and is it ready?

`/healthz` asks the event loop itself, each time: a worker whose loop does not turn does nothing. `/ready` is for rollouts: the
worker has joined its group, has recovered its partitions, knows the catalogue and the statistics, and hardly any
user of its lists is quarantined.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Final

from stream.metrics import Probe
from stream.worker.watchdog import Vitals

LOOP_WAIT_S: Final = 3.0
"""How long the event loop may take to answer. A supervisor should ask several times before it kills."""


class Probes:
    """Answers from the endpoint's threads; `began` is called on the event loop."""

    def __init__(
        self,
        vitals: Vitals,
        is_stuck: Callable[[], bool],
        is_stopping: Callable[[], bool],
        is_read: Callable[[], bool],
        quarantined: Callable[[], float],
        quarantined_max: float,
    ) -> None:
        """
        Args:
            vitals: of the worker.
            is_stuck: whether the watchdog has said so.
            is_stopping: whether the worker is to end.
            is_read: whether what all workers know has been read to its end.
            quarantined: share of the users of the last lists who went without something.
            quarantined_max: of which share on a worker is not ready, so that a rollout of what cannot be right stops.
        """
        self._vitals, self._is_stuck, self._is_stopping, self._is_read = vitals, is_stuck, is_stopping, is_read
        self._quarantined, self._quarantined_max = quarantined, quarantined_max
        self._loop: asyncio.AbstractEventLoop | None = None

    def began(self) -> None:
        """The event loop that is asked is the running one."""
        self._loop = asyncio.get_running_loop()

    @property
    def by_path(self) -> Mapping[str, Probe]:
        """What answers which path."""
        return {"/healthz": self.why_not_alive, "/ready": self.why_not_ready}

    def why_not_alive(self) -> str | None:
        """None while it lives."""
        if self._is_stuck():
            return "stuck: the watchdog is ending it"
        turned = threading.Event()
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(turned.set)
        except RuntimeError:
            return "the event loop has ended"
        if self._loop is not None and not turned.wait(LOOP_WAIT_S):
            return f"the event loop has not turned for {LOOP_WAIT_S:g} s"
        return None

    def why_not_ready(self) -> str | None:
        """None while it reads events and makes lists."""
        vitals = self._vitals
        if self._is_stopping():
            return "stopping"
        if vitals.rebalancing:
            return "joining its group, or starting" if not vitals.serving else "joining its group again"
        if vitals.recovering or not vitals.serving:
            return "recovering the state of its partitions"
        if not self._is_read():
            return "reading the catalogue and the statistics"
        share = self._quarantined()
        return f"{share:.0%} of the users of the last lists are quarantined" if share > self._quarantined_max else None

"""What a supervisor may ask a worker over HTTP, beside the metrics: has it started, does it live, is it ready?

`/started`: it has joined its group and recovered its partitions once. `/healthz` asks the event loop itself, each time, and
whether commits advance: a worker whose loop does not turn, or that makes nothing durable, does nothing. `/ready` is for
rollouts: the worker has its partitions, knows the catalogue and the statistics, is not further behind than the settings allow,
and hardly any user of its lists is quarantined.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from stream.metrics import Probe
from stream.worker.watchdog import Vitals

LOOP_WAIT_S: Final = 3.0
"""How long the event loop may take to answer. A supervisor should ask several times before it kills."""


class ProbeLimits(NamedTuple):
    """Beyond these a worker is not ready, or does not live."""

    quarantined_share: float
    """Of the users of the last lists, who went without something: so a rollout of what cannot be right stops."""
    lag_records: int
    """Records that wait to be applied; 0 = however many."""
    commit_age_s: float
    """Since the last completed commit; 0 = however long."""


class Probes:
    """Answers from the endpoint's threads; `began` is called on the event loop."""

    def __init__(
        self,
        vitals: Vitals,
        is_stuck: Callable[[], bool],
        is_stopping: Callable[[], bool],
        is_read: Callable[[], bool],
        quarantined: Callable[[], float],
        limits: ProbeLimits,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            vitals: of the worker.
            is_stuck: whether the watchdog has said so.
            is_stopping: whether the worker is to end.
            is_read: whether what all workers know has been read to its end.
            quarantined: share of the users of the last lists who went without something.
            limits: the settings' say.
            monotonic_s: the clock of `Vitals.commits`.
        """
        self._vitals, self._is_stuck, self._is_stopping, self._is_read = vitals, is_stuck, is_stopping, is_read
        self._quarantined, self._limits, self._monotonic_s = quarantined, limits, monotonic_s
        self._has_started = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def began(self) -> None:
        """The event loop that is asked is the running one."""
        self._loop = asyncio.get_running_loop()

    @property
    def by_path(self) -> Mapping[str, Probe]:
        """What answers which path."""
        return {"/started": self.why_not_started, "/healthz": self.why_not_alive, "/ready": self.why_not_ready}

    def why_not_started(self) -> str | None:
        """None from when it has recovered for the first time, whatever comes later."""
        why_not = None if self._has_started else self._why_not_assigned()
        self._has_started = why_not is None
        return why_not

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
        return self._why_not_durable()

    def why_not_ready(self) -> str | None:
        """None while it reads events and makes lists."""
        if self._is_stopping():
            return "stopping"
        if (why_not := self._why_not_assigned()) is not None:
            return why_not
        if not self._is_read():
            return "reading the catalogue and the statistics"
        most, lag = self._limits.lag_records, self._vitals.lag_records
        if most and lag > most:
            return f"{lag} records behind, more than ready_max_lag_records ({most})"
        share = self._quarantined()
        too_many = share > self._limits.quarantined_share
        return f"{share:.0%} of the users of the last lists are quarantined" if too_many else None

    def _why_not_assigned(self) -> str | None:
        vitals = self._vitals
        if vitals.rebalancing:
            return "joining its group, or starting" if not vitals.serving else "joining its group again"
        return "recovering the state of its partitions" if vitals.recovering or not vitals.serving else None

    def _why_not_durable(self) -> str | None:
        """None while commits advance, and before they are to be expected."""
        vitals, most = self._vitals, self._limits.commit_age_s
        if not most or not vitals.serving:
            return None
        age_s = self._monotonic_s() - max(vitals.commits, vitals.serving_since_s)
        return f"no commit was completed for {age_s:.0f} s" if age_s > most else None

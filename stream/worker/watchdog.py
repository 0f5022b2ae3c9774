"""The watchdog: a worker that has stopped working exits, so that a supervisor starts it again.

Consumers are known to die quietly (faust#175, faust#640, aiokafka#1037): the process lives, heartbeats go out, the partitions
stay with it and nothing happens. What can be told from outside is that nothing moves, so that is what is watched, from a thread
of its own: an event loop that hangs cannot watch itself.

Only changes are looked at, and time is counted in the thread's own turns, none of which may count for more than a few seconds.
So neither a clock that was set nor a machine (or process) that was suspended makes a worker look stuck.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream.errors import StuckError
from stream.kafka.types import TopicPartition

logger = logging.getLogger(__name__)

TURN_S: Final = 0.5
TURN_MAX_S: Final = 2.0
"""Most that one turn counts for; what is beyond it the process was suspended."""


class Position(NamedTuple):
    """How far a partition that this worker owns has been applied, and how many records the broker has beyond that."""

    next_offset: int
    behind: int


@dataclass
class Vitals:
    """Signs of life, written on the event loop and read by the watchdog's thread. Each counter only has to change."""

    beats: int = 0
    """Turns of the event loop."""
    commits: float = 0
    """Changes with each completed commit."""
    serving: bool = False
    """Whether commits are to be expected: the first recovery has ended."""
    serving_since_s: float = 0
    """`time.monotonic()` of when that was."""
    lag_records: int = 0
    """Records not yet applied, over all partitions that this worker owns."""
    recovered_chunks: int = 0
    """Changelog chunks applied to local stores."""
    recovering: bool = False
    rebalancing: bool = True
    """Between joining the group and the assignment, and between a revocation and the next assignment."""
    rebalances: int = 0
    positions: Mapping[TopicPartition, Position] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """Longest time without each sign of life; 0 = any."""

    commit_age_s: float
    stall_s: float
    rebalance_timeout_s: float


class Watch:
    """The decision. Pure: time comes in as seconds since the last call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._now = 0.0
        self._changed: dict[Hashable, tuple[object, float]] = {}
        self.stalled_s = 0.0
        """How long nothing has moved that should."""

    def observe(self, elapsed_s: float, vitals: Vitals) -> str | None:
        """Why the worker is stuck, in one line; None while it is not."""
        self._now += min(elapsed_s, TURN_MAX_S)
        limits = self._limits
        group = (vitals.rebalances, vitals.rebalancing)
        # In a rebalance and in a recovery no chunk of events is applied, however well all goes.
        elsewhere = (group, vitals.recovering, vitals.recovered_chunks if vitals.recovering else 0)
        idle = {
            "beat": self._unchanged_s("beat", vitals.beats),
            "commit": self._unchanged_s("commit", (vitals.commits, vitals.serving)),
            "group": self._unchanged_s("group", group),
            "recovery": self._unchanged_s("recovery", elsewhere),
        }
        stalled = self._stalled(vitals.positions, elsewhere)
        why = None
        self.stalled_s = idle["beat"]
        if vitals.rebalancing:
            self.stalled_s = max(self.stalled_s, idle["group"] - limits.rebalance_timeout_s)
            why = f"no partitions were assigned for {idle['group']:.0f} s after joining the group"
        elif vitals.recovering:
            self.stalled_s = max(self.stalled_s, idle["recovery"])
            why = f"the recovery of local state has made no progress for {idle['recovery']:.0f} s"
        elif stalled is not None:
            tp, seconds = stalled
            self.stalled_s = max(self.stalled_s, seconds)
            why = (
                f"{tp.topic} partition {tp.partition} is {vitals.positions[tp].behind} records behind and none was "
                f"applied for {seconds:.0f} s"
            )
        if limits.stall_s and idle["beat"] >= limits.stall_s:
            return f"the event loop has not turned for {idle['beat']:.0f} s"
        if limits.stall_s and self.stalled_s >= limits.stall_s:
            return why
        if limits.commit_age_s and vitals.serving and idle["commit"] >= limits.commit_age_s:
            return f"no commit was completed for {idle['commit']:.0f} s"
        return None

    def _stalled(
        self, positions: Mapping[TopicPartition, Position], elsewhere: object
    ) -> tuple[TopicPartition, float] | None:
        """The partition that has been waiting for longest."""
        behind = {tp: position for tp, position in positions.items() if position.behind > 0}
        for done in [tp for tp in self._changed if isinstance(tp, TopicPartition) and tp not in behind]:
            del self._changed[done]
        waiting = [(tp, self._unchanged_s(tp, (p.next_offset, elsewhere))) for tp, p in behind.items()]
        return max(waiting, key=lambda each: each[1], default=None)

    def _unchanged_s(self, what: Hashable, value: object) -> float:
        """Seconds since `what` last had another value."""
        last, since = self._changed.get(what, (None, 0.0))
        if what not in self._changed or last != value:
            self._changed[what] = (value, self._now)
            return 0.0
        return self._now - since


class Watchdog:
    """The thread around a `Watch`: says why, asks the event loop to stop, and ends the process if it does not."""

    def __init__(
        self,
        limits: Limits,
        vitals: Vitals,
        sample: Callable[[], None],
        stop: Callable[[BaseException], Awaitable[None]],
        grace_s: float,
        report: Callable[[float], None] | None = None,
        exit_: Callable[[int], object] = os._exit,
        turn_s: float = TURN_S,
    ) -> None:
        """`sample`, on the event loop, renews the vitals; `stop`, there as well, begins an orderly end, and `exit_(1)`
        follows if that takes longer than `grace_s`; `report` hears how long nothing has moved."""
        self._watch, self._vitals = Watch(limits), vitals
        self._sample, self._stop, self._report = sample, stop, report
        self._grace_s, self._exit, self._turn_s = grace_s, exit_, turn_s
        self._closed = threading.Event()
        self._beating: asyncio.TimerHandle | None = None
        self.fired = False

    def start(self) -> None:
        """To be called on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._beat()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """The worker ends in an orderly way. If that was because the watchdog said so, the process still ends in time."""
        if self._beating is not None:
            self._beating.cancel()
        if not self.fired:
            self._closed.set()

    def _beat(self) -> None:
        self._vitals.beats += 1
        self._sample()
        self._beating = self._loop.call_later(self._turn_s, self._beat)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(self._turn_s):
            now = time.monotonic()
            why = self._watch.observe(now - last, self._vitals)
            last = now
            if self._report is not None:
                self._report(self._watch.stalled_s)
            if why is not None:
                return self._bark(why)
        return None

    def _bark(self, why: str) -> None:
        self.fired = True
        logger.error(
            "stuck: %s; exiting, so that the worker is started again. Fix: see that a supervisor starts it", why
        )
        with suppress(RuntimeError):  # the loop has just been closed
            asyncio.run_coroutine_threadsafe(_as_coroutine(self._stop, StuckError(why)), self._loop)
        # An orderly end tells the group; one that hangs as well must not keep the partitions.
        self._closed.wait(self._grace_s)
        logger.error(
            "did not stop within %g s: ending the process; what was not committed is read again. "
            "Fix: see that a supervisor starts it",
            self._grace_s,
        )
        for handler in logging.getLogger().handlers:
            handler.flush()
        self._exit(1)


async def _as_coroutine(stop: Callable[[BaseException], Awaitable[None]], error: BaseException) -> None:
    await stop(error)

"""What a worker tells of its group: partitions gained and lost, how long that took, and when Kafka answers again.

Pure but for the log: times come as arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

logger = logging.getLogger(__name__)


class Holdings:
    """Looked at a few times a second."""

    def __init__(self, silent_after_s: float) -> None:
        """`silent_after_s`: a group that has not answered for so long is told of."""
        self._silent_after_s = silent_after_s
        self._held: frozenset[int] = frozenset()
        self._joining_since: float | None = None
        self._silent_since: float | None = None

    def look(self, held: Collection[int], *, settled: bool, now_s: float) -> None:
        """`held`: partitions of the events topic; `settled`: the group has shared them out and they are recovered."""
        if not settled:
            self._joining_since = now_s if self._joining_since is None else self._joining_since
            return
        if self._joining_since is None and frozenset(held) == self._held:
            return
        took_s = 0.0 if self._joining_since is None else now_s - self._joining_since
        gained, lost = frozenset(held) - self._held, self._held - frozenset(held)
        changes = "; ".join(
            f"{what} {_numbers(which)}" for what, which in (("gained", gained), ("lost", lost)) if which
        )
        logger.info(
            "holds %s of the events (%s) after %.1f s of joining and recovering",
            f"partitions {_numbers(held)}" if held else "no partition",
            changes or "none gained or lost",
            took_s,
        )
        self._held, self._joining_since = frozenset(held), None

    def hear(self, silent_s: float, now_s: float) -> None:
        """How long ago the group last confirmed that this worker is a member."""
        if self._silent_since is None:
            if silent_s >= self._silent_after_s:
                self._silent_since = now_s - silent_s
                logger.warning(
                    "Kafka has not answered the group's heartbeat for %.0f s (tried again). Fix: if it stays, see the brokers",
                    silent_s,
                )
        elif silent_s < self._silent_after_s:
            logger.info("Kafka answers again, after %.0f s", now_s - silent_s - self._silent_since)
            self._silent_since = None


def _numbers(partitions: Collection[int]) -> str:
    """`0-2, 5`."""
    runs: list[list[int]] = []
    for number in sorted(partitions):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)

"""How many item deltas have their turn at once between two batches of lists. Pure: time is given.

Deltas share the event loop with events and lists, one turn each. Without a share of their own they would starve when there is
most to learn: a batch of lists takes some fifty times as long as a slice of two milliseconds. So a slice is a share of the
time that others had since the last one, a larger share the further the deltas are behind, and never so long that an event
notices.
"""

from __future__ import annotations

from typing import Final

LEAST_S: Final = 0.002
"""An event passes some ten turns of the loop on its way to a list, and waits for all else in each."""

MOST_S: Final = 0.01
"""Beside a batch of 64 lists hardly to be seen."""

SHARE: Final = 0.05
SHARE_BEHIND: Final = 0.2
"""Of all time, for deltas that are up to date, and for those that are far behind."""

FAR_BEHIND: Final = 50_000
"""Deltas: some seconds of them."""

LEAST_DELTAS: Final = 50
COST_S: Final = 5e-6
"""Of a delta, until it is known here."""

COST_MEMORY: Final = 0.9


class Quantum:
    """Of one worker. `now` is a monotonic clock, s."""

    def __init__(self) -> None:
        self._ended_at: float | None = None
        self._cost_s = COST_S

    def deltas(self, now: float, behind: int) -> int:
        """How many to apply now, when so many are not yet read."""
        others_s = 0.0 if self._ended_at is None else max(0.0, now - self._ended_at)
        share = SHARE + (SHARE_BEHIND - SHARE) * min(1.0, max(0, behind) / FAR_BEHIND)
        seconds = min(MOST_S, max(LEAST_S, others_s * share / (1.0 - share)))
        return max(LEAST_DELTAS, int(seconds / self._cost_s))

    def took(self, deltas: int, seconds: float, now: float) -> None:
        """So many were applied in so long, until now."""
        self._ended_at = now
        self._cost_s = COST_MEMORY * self._cost_s + (1.0 - COST_MEMORY) * max(1e-7, seconds / deltas)

"""How many item deltas have their turn at once beside lists. Pure: time is given.

Deltas share the event loop with events and lists. While no user with an event waits they are applied in slices of two
milliseconds, so that an event soon has its turn. While one waits the deltas have a share of all time, so that they neither
starve when there is most to learn nor make lists late: a larger share the further they are behind, and in slices that an event
does not notice.
"""

from __future__ import annotations

from typing import Final

SLICE_S: Final = 0.002
"""An event passes some ten turns of the loop on its way to a list, and waits for all else in each."""

MOST_S: Final = 0.01
"""So much time can be saved up: beside a batch of 64 lists it is hardly to be seen."""

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

    def __init__(self, now: float) -> None:
        self._saved_s, self._saved_at = MOST_S, now
        self._cost_s = COST_S

    def deltas(self, now: float, behind: int, *, events_wait: bool) -> int:
        """How many to apply now, when so many are not yet read; 0 = others have their turn first."""
        share = SHARE + (SHARE_BEHIND - SHARE) * min(1.0, max(0, behind) / FAR_BEHIND)
        self._saved_s = min(MOST_S, self._saved_s + share * max(0.0, now - self._saved_at))
        self._saved_at = max(now, self._saved_at)
        seconds = self._saved_s if events_wait else SLICE_S
        return 0 if seconds < SLICE_S else max(LEAST_DELTAS, int(seconds / self._cost_s))

    def took(self, deltas: int, seconds: float) -> None:
        """So many were applied in so long."""
        self._saved_s = max(-MOST_S, self._saved_s - seconds)
        self._cost_s = COST_MEMORY * self._cost_s + (1.0 - COST_MEMORY) * max(1e-7, seconds / deltas)

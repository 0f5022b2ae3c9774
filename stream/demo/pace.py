"""How fast the shop's time runs: what the worker has answered decides. Pure; time comes in as seconds of a monotonic clock.

At full speed a year takes `REPLAY_S`. As soon as somebody has waited `FRESH_S` for a list, time runs slower, and where someone
has waited `LATE_S` it stands still until the list is there. So lists stay fresh on any machine, and a faster one, or a faster
worker, gets through the year sooner without being told.
"""

from __future__ import annotations

from math import exp
from typing import Final

REPLAY_S: Final = 60.0
"""What a year takes at least."""

FRESH_S: Final = 0.13
LATE_S: Final = 0.45

BEHIND_RECORDS: Final = 500
BEHIND_MAX_RECORDS: Final = 3_000
"""The same for what events say about items: so many records that the worker has not read."""

TURN_MAX_S: Final = 0.2
"""Most that time moves between two looks, in seconds of the machine: one that was suspended does not catch up."""

GROWTH: Final = 2.0
"""Time runs at most so many times as fast as lately. On a slow machine each list that comes would else let half a day of orders
in at once, and the last of those would wait long."""

START_SHARE: Final = 0.2

SLOW_SHARE: Final = 0.7
"""Of full speed: a machine on which time runs slower is told how long the year takes, after `TOLD_AFTER_S`."""

TOLD_AFTER_S: Final = 15.0

_SMOOTHED_S: Final = 3.0
"""Lately is about so many seconds."""

_LEAST_SHARE: Final = 0.01
"""From which it grows again after it stood still."""


class Pace:
    """Time in the shop. One thread asks."""

    def __init__(self, first_ms: int, last_ms: int, replay_s: float = REPLAY_S, *, share: float = START_SHARE) -> None:
        """The shop's first and last moment; what lies between takes `replay_s` at full speed. It begins at `share` of that."""
        self._last_ms = last_ms
        self._full_ms_per_s = max(1, last_ms - first_ms) / max(replay_s, 1e-3)
        self._shop_ms = float(first_ms)
        self._looked_at: float | None = None
        self.share = share
        """Of full speed, at which time has been running lately."""

    def look(self, now: float, waiting_s: float, behind_records: float) -> None:
        """Let time run on.

        Args:
            now: monotonic, s.
            waiting_s: how long whoever waits for a list has waited for longest.
            behind_records: how many records about items the worker has not read.
        """
        elapsed_s = 0.0 if self._looked_at is None else min(now - self._looked_at, TURN_MAX_S)
        self._looked_at = now
        share = min(_share(waiting_s, FRESH_S, LATE_S), _share(behind_records, BEHIND_RECORDS, BEHIND_MAX_RECORDS))
        share = min(share, GROWTH * self.share + _LEAST_SHARE)
        self._shop_ms += self._full_ms_per_s * share * elapsed_s
        self.share += (share - self.share) * (1.0 - exp(-elapsed_s / _SMOOTHED_S))

    def has_come(self, time_ms: int) -> bool:
        """Whether that moment is now or past."""
        return time_ms <= self._shop_ms

    @property
    def left_s(self) -> float:
        """Until the last moment, if it goes on as lately."""
        return max(0.0, self._last_ms - self._shop_ms) / self._full_ms_per_s / max(self.share, _LEAST_SHARE)

    def note(self, elapsed_s: float) -> str:
        """What to tell a person whose machine is slow, this long after the beginning; nothing where it keeps up."""
        if elapsed_s < TOLD_AFTER_S or self.share > SLOW_SHARE:
            return ""
        seconds = elapsed_s + self.left_s
        length = f"{round(seconds, -1):.0f} seconds" if seconds < 105 else f"{round(seconds / 60)} minutes"
        return f"this machine takes about {length} for the year"


def _share(value: float, all_below: float, none_from: float) -> float:
    return min(1.0, max(0.0, (none_from - value) / (none_from - all_below)))


def list_age_s(reading_s: float) -> float:
    """`list_max_age_s` of the demo's worker, for a machine that reads the shop's files in `reading_s`.

    At full speed a day passes in a sixth of a second: what is fresh for an hour in a shop is a year old here. On a slow
    machine time will run slower, so lists may become older: else remaking them would take all its time.
    """
    return LIST_AGE_S * max(1.0, reading_s / READING_S)


LIST_AGE_S: Final = 2.0
READING_S: Final = 0.4
"""Reading on the machine where `LIST_AGE_S` was chosen, s."""

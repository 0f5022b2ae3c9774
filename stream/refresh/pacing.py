"""How many users are ranked together, and when those have their turn who wait for no event of their own. Pure: time is given.

A batch costs something by itself, so a large one is cheap per list, and everybody in it waits for all of it. While nobody has
waited long, a batch is as large as fits into a budget of time; when somebody has, it is as large as is allowed. Lists that are
only aged, or that the catalogue or a model changed, are made when no user with an event waits, and in a small share of the time
beside it, so that they are made at all under any load.
"""

from __future__ import annotations

from typing import Final

BUDGET_S: Final = 0.005
"""Of a batch of users with events while nobody has waited long."""

SLICE_S: Final = 0.002
"""Of a batch of others: an event that comes meanwhile waits no longer for it."""

LONG_S: Final = 4 * BUDGET_S
"""Who has waited this long has waited long."""

OTHERS_SHARE: Final = 0.02
"""Of all time, for others although users with events wait."""

OTHERS_BURST_S: Final = 2 * SLICE_S
"""So much of that time can be saved up: more would come at once, just when users with events begin to wait."""

SMOOTHING: Final = 0.2
"""Weight of the newest batch in the cost of a list."""


class Pacing:
    """Of one worker. `now` is a monotonic clock, s."""

    def __init__(self, max_users: int, now: float) -> None:
        self._max_users = max_users
        self._list_s = BUDGET_S / max_users
        self._saved_s, self._saved_at = OTHERS_BURST_S, now

    def users(self, waited_s: float) -> int:
        """Most users with events in the next batch, of whom the first has waited so long."""
        return self._max_users if waited_s >= LONG_S else self._fitting(BUDGET_S)

    @property
    def others(self) -> int:
        """Most others in the next batch."""
        return self._fitting(SLICE_S)

    def is_others_turn(self, now: float) -> bool:
        """Whether the next batch is for others although users with events wait."""
        self._saved_s = min(OTHERS_BURST_S, self._saved_s + OTHERS_SHARE * max(0.0, now - self._saved_at))
        self._saved_at = max(now, self._saved_at)
        return self._saved_s > 0.0

    def took(self, users: int, seconds: float, *, on_others_turn: bool) -> None:
        """A batch of so many users took so long."""
        self._list_s += SMOOTHING * (seconds / users - self._list_s)
        if on_others_turn:
            self._saved_s -= seconds

    def _fitting(self, seconds: float) -> int:
        return max(1, min(self._max_users, int(seconds / max(self._list_s, 1e-9))))

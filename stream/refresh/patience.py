"""How long a user with an event may wait for a list before it is late. Pure: time is given.

First come, first served is right as long as all can be served in time: a short burst then makes nobody late who waits less
than the deadline. When there is more to do than can be done it is the worst order: everybody waits until just before the
deadline, or for longer. So once the queue *stands* (for half a deadline nobody was served soon after they came), whoever has
waited for a quarter of the deadline is owed a list, and those behind them get theirs sooner. What can be made is the same; it
is fresher. That ends when somebody is served soon again.

This is CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012) with a shorter patience in place of single drops. A
shorter one than a quarter makes fewer users fill a batch and more of them late, where partitions are many or a batch costs
much; it was simulated with an eighth, and then a tenth of the users was late at 90 % of the capacity of 32 partitions. To
serve the newest first needs no such limit with one partition; but a batch is of one, and with several the newest of each wait
for a whole round.

Until the queue is known to stand nobody waits for more than five eighths of the deadline unless the worker makes no list at
all. The rest of it is for reading the event, making the list, and sending it.
"""

from __future__ import annotations

import math
from typing import Final

STANDS_AFTER: Final = 0.5
"""Of the deadline, that the queue must have stood before patience becomes short."""

SHORT: Final = 0.25
"""Of the deadline, that a user waits at most then."""

SOON: Final = 0.5
"""Of the short patience: served after so little of it, a user was served soon."""


class Patience:
    """Of one worker. `now` is a monotonic clock, s."""

    def __init__(self, deadline_s: float) -> None:
        """`deadline_s` 0: no list is ever late."""
        self._deadline_s = deadline_s
        self._soon_at: float | None = None
        """When somebody was last served soon; None where nobody waited when last asked."""

    def allowed_s(self, waited_s: float | None, now: float) -> float:
        """Longest wait of a user who is still to be served.

        Args:
            waited_s: of the one who has waited longest; None where nobody waits.
            now: to be asked before every batch, and when nobody waits.
        """
        if self._deadline_s == 0.0:
            return math.inf
        short_s = SHORT * self._deadline_s
        if waited_s is None:
            self._soon_at = None
            return self._deadline_s
        if waited_s <= SOON * short_s:
            self._soon_at = now
        elif self._soon_at is None:
            self._soon_at = now - waited_s
        return short_s if now - self._soon_at >= STANDS_AFTER * self._deadline_s else self._deadline_s

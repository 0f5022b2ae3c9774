"""A circuit breaker: after failures in a row a service is left alone for a while, then tried once (Nygard, Release It!)."""

from __future__ import annotations


class Breaker:
    """Of one service. Times are seconds of any one clock that does not go back; used by one thread."""

    def __init__(self, failures: int, pause_s: float) -> None:
        """Open after `failures` in a row, for `pause_s`."""
        self._limit, self._pause_s = failures, pause_s
        self._failures = 0
        self._until_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Whether the service may be asked now; once the pause is over, it may."""
        return self._until_s is None or now_s >= self._until_s

    def failed(self, now_s: float) -> None:
        """The service failed; the first failure after a pause opens the breaker again at once."""
        self._failures += 1
        if self._failures >= self._limit:
            self._until_s = now_s + self._pause_s

    def succeeded(self) -> None:
        """The service answered."""
        self._failures, self._until_s = 0, None

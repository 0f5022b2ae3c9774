"""How long to go on with one question: what is asked again, after how long, and when it is enough. Pure: time comes in."""

from __future__ import annotations

import math
from typing import Final

from stream.client.request import Method

BUSY: Final = (429, 503)
"""Statuses that mean: not now. Asked again only where the answer says when."""

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0


class Patience:
    """Of one question, from its first attempt to its deadline."""

    def __init__(self, method: Method, now_s: float, timeout_s: float) -> None:
        self._method, self._deadline_s = method, now_s + timeout_s
        self._pause_s = FIRST_PAUSE_S

    def left_s(self, now_s: float) -> float:
        """What an attempt may take."""
        return max(0.001, self._deadline_s - now_s)  # httpx takes 0 for an error of its own

    def after_answer(self, status: int, retry_after: str | None, now_s: float) -> float | None:
        """Seconds to wait before asking again; None: this is the answer."""
        if status not in BUSY or retry_after is None:
            return None
        try:
            pause_s = float(retry_after)
        except ValueError:  # a date: proxies may say one
            return None
        return self._if_in_time(pause_s, now_s) if math.isfinite(pause_s) and pause_s >= 0 else None

    def after_no_connection(self, now_s: float) -> float | None:
        """The same where nobody took the connection; each pause is twice the one before. None: that is the end.

        Only what changes nothing is asked again.
        """
        if self._method != "GET":
            return None
        pause_s, self._pause_s = self._pause_s, min(LONGEST_PAUSE_S, 2 * self._pause_s)
        return self._if_in_time(pause_s, now_s)

    def _if_in_time(self, pause_s: float, now_s: float) -> float | None:
        return pause_s if now_s + pause_s < self._deadline_s else None

"""How far the demo may produce ahead of its worker, so that the embedded broker drops nothing unread."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

MAX_BEHIND_RECORDS: Final = 10_000
"""Events produced and not yet committed by the worker."""

MAX_BEHIND_BYTES: Final = 3 << 20
"""The same in bytes of key and value. A partition keeps 5 MiB and this is the sum over all, with room for the framing."""


class Throttle:
    """Counts records of known sizes, in the order of production. `may_send` and `reached` may be two threads': each field
    has one writer."""

    def __init__(
        self, sizes: Sequence[int], max_records: int = MAX_BEHIND_RECORDS, max_bytes: int = MAX_BEHIND_BYTES
    ) -> None:
        self._bytes = [0, *accumulate(sizes)]
        self._max_records, self._max_bytes = max_records, max_bytes
        self.sent = 0
        self._done = 0

    def may_send(self) -> bool:
        """Whether the next record may go now; if so it counts as sent. One alone always may, however large."""
        behind = self.sent - self._done
        in_flight = self._bytes[self.sent + 1] - self._bytes[self._done]
        if behind and (behind >= self._max_records or in_flight > self._max_bytes):
            return False
        self.sent += 1
        return True

    def reached(self, records: int) -> None:
        """The worker has committed this many of them. Which ones is not known: partitions go on side by side."""
        self._done = max(self._done, min(records, self.sent))

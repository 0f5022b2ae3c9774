"""The log: to stderr, and bounded. While a broker is away aiokafka writes more than a hundred equal lines a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from stream.kafka.engine.engine import NOISY_LOGGERS

INTERVAL_S: Final = 10.0
KEPT_MAX: Final = 1000
"""Different lines remembered; with more than that the oldest memory goes."""


class RepeatFilter(logging.Filter):
    """Lets a line through once in `INTERVAL_S`; the next one says how many were left out.

    Lines are the same if they come from the same place in a program, whatever their arguments; in this program's own lines
    the arguments count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        own = record.getMessage() if record.name.startswith("stream.") else ""
        place, now = (record.pathname, record.lineno, own), self._clock()
        since, left_out = self._seen.get(place, (None, 0))
        if since is not None and now - since < INTERVAL_S:
            self._seen[place] = since, left_out + 1
            return False
        self._seen.pop(place, None)
        if len(self._seen) >= KEPT_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[place] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} like it before)", None
        return True


def log_to_stderr(level: str) -> None:
    """Everything from this level on, of Faust and below only warnings."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())
    for noisy in NOISY_LOGGERS:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))

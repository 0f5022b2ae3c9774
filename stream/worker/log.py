"""The log: to stderr, for people or as JSON, and bounded. While a broker is away aiokafka writes more than a hundred equal
lines a second, and a million odd users would each have a line of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from stream.kafka.engine.engine import NOISY_LOGGERS

INTERVAL_S: Final = 10.0
KEPT_MAX: Final = 1000
"""Different lines remembered; with more than that the oldest memory goes."""

LINES_MAX: Final = 50
"""Different lines from one place in this program within `INTERVAL_S`."""

FIX: Final = " Fix: "
"""Between what is wrong and what to do about it."""


class RepeatFilter(logging.Filter):
    """Lets a line through once in `INTERVAL_S`; the next one says how many were left out.

    Lines are the same if they come from the same place in a program, whatever their arguments; in this program's own lines
    the arguments count, but of one place no more than `LINES_MAX` come through.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}
        self._passed: dict[tuple[str, int], tuple[float, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        is_own = record.name.startswith("stream.")
        place, now = (record.pathname, record.lineno, record.getMessage() if is_own else ""), self._clock()
        since, left_out = self._seen.get(place, (None, 0))
        if since is not None and now - since < INTERVAL_S:
            self._seen[place] = since, left_out + 1
            return False
        others_left_out = 0
        if is_own and (others_left_out := self._take_turn(place[:2], now)) < 0:
            return False
        self._seen.pop(place, None)
        if len(self._seen) >= KEPT_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[place] = now, 0
        counts = ((left_out, "like it before"), (others_left_out, "of other wording"))
        if notes := [f"{n} {which}" for n, which in counts if n]:
            record.left_out = left_out + others_left_out
            record.msg, record.args = f"{record.getMessage()} (and {', '.join(notes)})", None
        return True

    def _take_turn(self, place: tuple[str, int], now: float) -> int:
        """How many lines of other wording were left out at this place before; -1: this one is left out, too."""
        since, passed, left_out = self._passed.get(place, (now, 0, 0))
        if now - since >= INTERVAL_S:
            since, passed = now, 0
        if passed >= LINES_MAX:
            self._passed[place] = since, passed, left_out + 1
            return -1
        self._passed[place] = since, passed + 1, 0
        return left_out


def log_to_stderr(level: str, form: Literal["text", "json"] = "text", **bound: str) -> None:
    """Everything from this level on, of Faust and below only warnings.

    Args:
        level: a setting's word for it.
        form: "json": one object a line, with `timestamp` (UTC), `level`, `logger`, `event`, and where it has them `fix` (what
            to do), `left_out` (how many lines like it were not written) and `exception`.
        bound: what every JSON line has beside that: which process it is.
    """
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())
        if form == "json":
            handler.setFormatter(json_formatter(bound))
    for noisy in NOISY_LOGGERS:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))


def json_formatter(bound: Mapping[str, str]) -> logging.Formatter:
    """One JSON object a line. Tracebacks are without the values of variables: some are secrets."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=["left_out"]),
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _Bound(bound),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


class _Bound:
    """Adds which process it is, and takes what to do out of the sentence."""

    def __init__(self, bound: Mapping[str, str]) -> None:
        self._bound = bound

    def __call__(self, logger: Any, name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        del logger, name
        what, found, fix = str(line["event"]).partition(FIX)
        return {**line, **self._bound, "event": what} | ({"fix": fix} if found else {})

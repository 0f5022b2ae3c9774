"""Moments as people give them on the command line: `7d` ago, or RFC 3339."""

from __future__ import annotations

import re
from typing import Final

from stream.errors import UsageError
from stream.wire.times import parse_time_ms

_UNITS_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SPAN: Final = re.compile(r"([0-9]{1,6})([mhdw])")


def parse_moment_ms(option: str, text: str, now_ms: int) -> int:
    """`7d` (m, h, d, w before `now_ms`), a date, or an RFC 3339 time with an offset -> ms since the epoch.

    Raises:
        UsageError: it is neither; `option` is named.
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now_ms - int(span[1]) * _UNITS_MS[span[2]]
    found = parse_time_ms(f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text)
    if found is None:
        raise UsageError(f"{option} {text!r} is no time.", "say 7d, 12h, 2026-01-31 or 2026-01-31T08:00:00+01:00")
    return found


def parse_span_ms(option: str, text: str) -> int:
    """`7d` -> ms.

    Raises:
        UsageError: it is no span, or 0; `option` is named.
    """
    span = _SPAN.fullmatch(text)
    if span is None or not int(span[1]):
        raise UsageError(f"{option} {text!r} is no span of time.", "say 12h, 7d or 2w")
    return int(span[1]) * _UNITS_MS[span[2]]

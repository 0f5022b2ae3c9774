"""Moments as people give them on the command line: `7d` ago, or RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from stream.analysis.outcomes.journeys import Range
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


def parse_range(from_: str | None, to: str | None, now_ms: int) -> Range:
    """Of `--from` and `--to`.

    Raises:
        UsageError: one of them is no time, or the range holds nothing.
    """
    asked = Range(
        None if from_ is None else parse_moment_ms("--from", from_, now_ms),
        None if to is None else parse_moment_ms("--to", to, now_ms),
    )
    if asked.from_ms is not None and asked.from_ms >= (now_ms if asked.to_ms is None else asked.to_ms):
        raise UsageError(f"--from {from_} is not before {'now' if to is None else f'--to {to}'}.", "exchange them")
    return asked


def said(time_ms: int) -> str:
    """As a report says when: UTC, to the second."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def said_range(asked: Range, now_ms: int) -> dict[str, str]:
    """`from` and `to` of a report."""
    return {
        "from": "the beginning" if asked.from_ms is None else said(asked.from_ms),
        "to": said(now_ms if asked.to_ms is None else asked.to_ms),
    }

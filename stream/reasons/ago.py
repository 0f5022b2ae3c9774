"""How long ago something was, as a person says it: a small number that every language has a text for.

The day and its part are those of the time zone. Nothing is said of what lies ahead of the moment (clocks differ), nor of what
is further back than the texts go.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_MS, HOUR_MS

UNTOLD: Final = 0
JUST_NOW: Final = 1
TODAY: Final = 2
"""Today, at hour h: TODAY + h."""
YESTERDAY: Final = TODAY + 24
DAYS: Final = YESTERDAY + 24
"""n days ago: DAYS + n; likewise below."""
WEEKS: Final = DAYS + 14
MONTHS: Final = WEEKS + 9
YEARS: Final = MONTHS + 13
CODES: Final = YEARS + 100

JUST_NOW_MS: Final = 600_000
_QUARTER_MS: Final = 900_000
"""Time zones change their offset on quarters of an hour."""


def ago(times_ms: NDArray[np.int64], moment_ms: int, zone: tzinfo = UTC) -> NDArray[np.int64]:
    """(n,) int64 codes below `CODES` of how long before `moment_ms` each of `times_ms` (n,) was."""
    local = times_ms + _offsets_ms(times_ms, zone)
    now = moment_ms + _offset_ms(moment_ms // _QUARTER_MS, zone)
    days = now // DAY_MS - local // DAY_MS
    hour = local % DAY_MS // HOUR_MS
    ago_ms = moment_ms - times_ms
    return np.select(
        [
            ago_ms < 0,
            ago_ms < JUST_NOW_MS,
            days <= 0,
            days == 1,
            days < 14,
            days < 60,
            days < 365,
            days < 365 * (CODES - YEARS),
        ],
        [
            UNTOLD,
            JUST_NOW,
            TODAY + hour,
            YESTERDAY + hour,
            DAYS + days,
            WEEKS + days // 7,
            MONTHS + days // 30,
            YEARS + days // 365,
        ],
        UNTOLD,
    ).astype(np.int64)


def _offsets_ms(times_ms: NDArray[np.int64], zone: tzinfo) -> NDArray[np.int64]:
    """What to add to UTC at each time, (n,) int64 ms."""
    if zone is UTC:
        return np.zeros(len(times_ms), np.int64)
    quarters, place = np.unique(times_ms // _QUARTER_MS, return_inverse=True)
    offsets = np.array([_offset_ms(quarter, zone) for quarter in quarters.tolist()], np.int64)
    return offsets[place]


@lru_cache(maxsize=65_536)
def _offset_ms(quarter: int, zone: tzinfo) -> int:
    try:
        offset = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone).utcoffset()
    except (OverflowError, ValueError):  # beyond the calendar
        return 0
    return 0 if offset is None else round(offset.total_seconds() * 1000)

"""Times as records and settings write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from stream.errors import InputFileError

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

_PER_MS: Final[dict[str, tuple[int, int]]] = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}

AUTO_FROM: Final[tuple[tuple[int, TimeUnit], ...]] = ((10**17, "ns"), (10**14, "us"), (10**11, "ms"))
"""`auto`: a number of at least this size is of this unit; a smaller one is seconds. Each unit begins in 1973, seconds end in
the year 5138."""

SECONDS_BELOW: Final = 2**32
"""Of `published_at`: a smaller number is no millisecond, which would be of the first seven weeks of 1970."""

SECONDS_FROM: Final = 10**8
"""Of `published_at`: a smaller number that is no year and no date is no time. (As seconds it would be of 1970 to 1973.)"""

PUBLISHED_MIN_MS: Final = -30_610_224_000_000
PUBLISHED_MAX_MS: Final = 2**32 * 1000 - 1
"""When an item may have been published: from the year 1000 to February 2106."""

_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d\d)", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,20}(\.0*)?", re.ASCII)
_YEARS = range(1000, 2107)


def parse_timezone(name: str) -> tzinfo:
    """An IANA name, such as `UTC` or `Europe/London`.

    Raises:
        InputFileError: there is no such time zone.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder of the database, an absolute path, an unknown name
        raise InputFileError(f"There is no time zone {name!r}.", "name one such as UTC or Europe/London") from None


def parse_time_ms(text: str) -> int | None:
    """RFC 3339 with an offset -> ms since the epoch; None for anything else.

    Also taken: a space for the `T`, an offset without its colon (`+0200`), and the leap second `:60`, which counts as
    the first second of the next minute, as POSIX has it. Not `datetime.fromisoformat`: what that takes (week dates,
    `24:00`) differs between versions of Python, and a replay must decide alike.
    """
    leap = text[16:19] == ":60"
    try:
        time = msgspec.convert(f"{text[:16]}:59{text[19:]}" if leap else text, datetime)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of half a character
        return None
    return None if time.tzinfo is None else round(time.timestamp() * 1000) + 1000 * leap


def number_to_ms(number: float, unit: TimeUnit = "auto") -> int:
    """A finite number of this unit since the epoch; `auto` decides by size."""
    if unit == "auto":
        size = abs(number)
        unit = next((each for least, each in AUTO_FROM if size >= least), "s")
    times, per = _PER_MS[unit]
    if isinstance(number, int):
        return number * times if per == 1 else (number + per // 2) // per
    return round(number * times / per)


def published_ms(value: int | str) -> int | None:
    """When an item was published, as catalogues write it; None where that is no time, or none from 1000 to 2106.

    Milliseconds; by their size a year (1995), a date (20230101), seconds, micro- or nanoseconds; RFC 3339; a date or year as
    text. Without an offset it is UTC. 0 and -1 are how some write that they do not know.
    """
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            return published_ms(int(text.partition(".")[0]))
        found = parse_time_ms(text)
        if found is None:
            found = _date_ms(text)
    else:
        found = _published_number_ms(value)
    return found if found is not None and PUBLISHED_MIN_MS <= found <= PUBLISHED_MAX_MS else None


def date_of_number(number: int, zone: tzinfo = UTC) -> int | None:
    """A year, or a date such as 20230101, as the ms of its first moment; None for any other number."""
    if number in _YEARS:
        return _day_ms(number, 1, 1, zone)
    day = _DAY.fullmatch(str(number))
    return _day_ms(int(day[1]), int(day[2]), int(day[3]), zone) if day and int(day[1]) in _YEARS else None


def _published_number_ms(number: int) -> int | None:
    if number in (0, -1):
        return None
    found = date_of_number(number)
    if found is not None:
        return found
    if abs(number) < SECONDS_FROM:
        return None
    return number_to_ms(number, "s" if abs(number) < SECONDS_BELOW else "auto" if abs(number) >= 10**14 else "ms")


def _date_ms(text: str) -> int | None:
    if day := _DAY.fullmatch(text):
        return _day_ms(int(day[1]), int(day[2]), int(day[3]))
    if month := _MONTH.fullmatch(text):
        return _day_ms(int(month[1]), int(month[2]), 1)
    try:
        return round(msgspec.convert(text, datetime).replace(tzinfo=UTC).timestamp() * 1000)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of half a character
        return None


def _day_ms(year: int, month: int, day: int, zone: tzinfo = UTC) -> int | None:
    try:
        first = date(year, month, day)
    except ValueError:
        return None
    return round(datetime(first.year, first.month, first.day, tzinfo=zone).timestamp() * 1000)

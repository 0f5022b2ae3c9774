"""Times as records and settings write them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from stream.errors import InputFileError


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
    except msgspec.ValidationError:
        return None
    return None if time.tzinfo is None else round(time.timestamp() * 1000) + 1000 * leap

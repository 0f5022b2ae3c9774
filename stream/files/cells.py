"""How one cell of a file becomes the value of a wire field. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Literal, NamedTuple

from stream.wire.times import parse_time_ms

TimeUnit = Literal["auto", "s", "ms"]

MILLISECONDS_FROM = 100_000_000_000
"""`auto`: a number from here on is milliseconds (from March 1973), a smaller one seconds (until the year 5138)."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]*)?")
_WHOLE = re.compile(r"(-?[0-9]+)(?:\.0*)?")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Times(NamedTuple):
    """How cells that hold times are read. See `read_time_ms`."""

    zone: tzinfo = UTC
    unit: TimeUnit = "auto"
    pattern: str | None = None


def read_time_ms(cell: Any, times: Times) -> Any:
    """Milliseconds since the epoch; the cell itself where it is no time.

    Numbers are seconds or milliseconds (`times.unit`; `auto` decides by size). Text is RFC 3339, an ISO 8601
    time or date, or what `times.pattern` (as `strptime`) says. A time without an offset is local to `times.zone`; of an
    hour that the clocks repeat the first is taken.
    """
    if isinstance(cell, str):
        if times.pattern is not None:
            return _strptime_ms(cell, times)
        if not _NUMBER.fullmatch(cell):
            return _iso_ms(cell, times.zone)
        cell = float(cell) if "." in cell else int(cell)
    if isinstance(cell, datetime):
        return _local_ms(cell, times.zone)
    if isinstance(cell, date):
        return _local_ms(datetime(cell.year, cell.month, cell.day, tzinfo=times.zone), times.zone)
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
        return cell
    seconds = times.unit == "s" or (times.unit == "auto" and abs(cell) < MILLISECONDS_FROM)
    return round(cell * 1000) if seconds else round(cell)


def cell_reader(field: str, key: str, times: Times, *, as_int: bool) -> Callable[[Any], Any]:
    """What turns a cell into the value of `field`, or of `key` in the object `field`; `as_int`: see `stream.files.mapping`.

    It returns a cell that it cannot read unchanged, except that under `as_int` it raises ValueError.
    """
    if field in ("event_time", "published_at"):
        return _TimeReader(times)
    read_text = _read_whole_text if as_int else _read_text
    return read_text if key else _READERS.get(field, read_text)


class _TimeReader:
    """`read_time_ms` that remembers the last cell: the lines of one basket share their time."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.last_cell: Any = None
        self.last_ms: Any = None

    def __call__(self, cell: Any) -> Any:
        if cell != self.last_cell:
            self.last_cell, self.last_ms = cell, read_time_ms(cell, self.times)
        return self.last_ms


def _iso_ms(text: str, zone: tzinfo) -> Any:
    if (with_offset := parse_time_ms(text)) is not None:
        return with_offset
    try:
        return _local_ms(datetime.fromisoformat(text), zone)
    except ValueError:
        return text


def _strptime_ms(text: str, times: Times) -> Any:
    try:
        return _local_ms(datetime.strptime(text, times.pattern or ""), times.zone)  # noqa: DTZ007  (the zone is ours)
    except (ValueError, re.error):  # a bad pattern refuses every row with the text it could not read
        return text


def _local_ms(time: datetime, zone: tzinfo) -> int:
    aware = time.replace(tzinfo=zone) if time.tzinfo is None else time
    return round(aware.timestamp() * 1000)


def _read_text(cell: Any) -> Any:
    if isinstance(cell, bytes):  # Parquet text written without its annotation
        return cell.decode("utf-8", "surrogateescape")
    return str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell


def _read_whole_text(cell: Any) -> str:
    """By cutting text, not by arithmetic: an id may have more digits than a float holds."""
    match = _WHOLE.fullmatch(str(cell))
    if match is None:
        raise ValueError(f"{str(cell)[:64]!r} is not a whole number, as `:int` in the mapping says it is")
    return match[1]


def _read_int(cell: Any) -> Any:
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() else cell
    match = _WHOLE.fullmatch(cell) if isinstance(cell, str) else None
    return int(match[1]) if match and len(match[1]) < 19 else cell


def _read_float(cell: Any) -> Any:
    if not isinstance(cell, str | float):
        return cell
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if math.isfinite(number) else str(cell)  # JSON has no infinity; decode refuses the text


def _read_bool(cell: Any) -> Any:
    return _BOOLEANS.get(str(cell).strip().lower(), cell)


def _read_categories(cell: Any) -> Any:
    return [part.strip() for part in cell.split("|") if part.strip()] if isinstance(cell, str) else cell


_READERS: dict[str, Callable[[Any], Any]] = {
    "dwell_ms": _read_int,
    "slot": _read_int,
    "value": _read_float,
    "price": _read_float,
    "available": _read_bool,
    "categories": _read_categories,
}
"""Fields that are neither text nor times."""

"""How one cell of a file becomes the value of a wire field. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

from stream.wire.times import SECONDS_BELOW, SECONDS_FROM, TimeUnit, date_of_number, number_to_ms, parse_time_ms

FLOAT_IDS_BELOW = 2.0**53
"""From here on a float holds no whole number exactly."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]*)?")
_WHOLE = re.compile(r"(-?[0-9]+)(?:\.0*)?")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Times(NamedTuple):
    """How cells that hold times are read. See `read_time_ms`."""

    zone: tzinfo = UTC
    unit: TimeUnit = "auto"
    pattern: str | None = None


def read_time_ms(cell: Any, times: Times) -> Any:
    """Milliseconds since the epoch; the cell itself where it is no time.

    Numbers are seconds, milli-, micro- or nanoseconds (`times.unit`; `auto` decides by size). Text is RFC 3339, an ISO 8601
    time or date, or what `times.pattern` (as `strptime`) says. A time without an offset is local to `times.zone`; of an
    hour that the clocks repeat the first is taken.
    """
    if isinstance(cell, str):
        if times.pattern is not None:
            return _strptime_ms(cell, times)
        if not _NUMBER.fullmatch(cell):
            return _iso_ms(cell, times.zone)
        cell = float(cell) if "." in cell else int(cell)
    if isinstance(cell, Decimal):
        cell = _plain_number(cell)
    if isinstance(cell, datetime):
        return _local_ms(cell, times.zone)
    if isinstance(cell, date):
        return _local_ms(datetime(cell.year, cell.month, cell.day, tzinfo=times.zone), times.zone)
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
        return cell
    return number_to_ms(cell, times.unit)


def read_published(cell: Any, times: Times) -> Any:
    """The same of when an item was published, which is also written as a year (1995) or a date (20230101).

    What the wire would take for something else than milliseconds is written as text.
    """
    if times.pattern is None and times.unit == "auto":
        number = _whole_number(cell)
        if number in (0, -1):  # how some write that they do not know
            return None
        day = None if number is None else date_of_number(number, times.zone)
        if day is not None:
            return _published(day)
        if number is not None and abs(number) < SECONDS_FROM:
            return cell  # nothing that anybody writes; for decode to leave out
    return _published(read_time_ms(cell, times))


def _published(time_ms: Any) -> Any:
    if not isinstance(time_ms, int) or isinstance(time_ms, bool) or abs(time_ms) >= SECONDS_BELOW:
        return time_ms
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat()


def _whole_number(cell: Any) -> int | None:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, str):
        cell = _read_int(cell)
    return cell if isinstance(cell, int) and not isinstance(cell, bool) else None


def cell_reader(field: str, key: str, times: Times, *, as_int: bool) -> Callable[[Any], Any]:
    """What turns a cell into the value of `field`, or of `key` in the object `field`; `as_int`: see `stream.files.mapping`.

    It returns a cell that it cannot read unchanged, except that under `as_int` it raises ValueError.
    """
    if field in ("event_time", "published_at"):
        return _TimeReader(times, read_time_ms if field == "event_time" else read_published)
    read_text = _read_whole_text if as_int else _read_text
    read = read_text if key else _READERS.get(field, read_text)
    return read_text if as_int and read is _read_id else read


class _TimeReader:
    """Remembers the last cell: the lines of one basket share their time."""

    def __init__(self, times: Times, read: Callable[[Any, Times], Any]) -> None:
        self.times, self.read = times, read
        self.last_cell: Any = None
        self.last_ms: Any = None

    def __call__(self, cell: Any) -> Any:
        if cell != self.last_cell:
            self.last_cell, self.last_ms = cell, self.read(cell, self.times)
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


def _plain_number(cell: Decimal) -> int | float:
    """What a column of decimals holds (a price in Parquet, say)."""
    return int(cell) if cell == cell.to_integral_value() else float(cell)


def _read_id(cell: Any) -> Any:
    """Ids that became floats, because a column of a table had gaps, are the whole numbers that they were.

    Raises:
        ValueError: a float this large stands for several whole numbers, so for several ids.
    """
    if isinstance(cell, float) and cell.is_integer():
        if abs(cell) >= FLOAT_IDS_BELOW:
            raise ValueError(f"{cell!r} is too large a float to be an id: store ids as text or as integers")
        return str(int(cell))
    return str(_plain_number(cell)) if isinstance(cell, Decimal) else _read_text(cell)


def _read_text(cell: Any) -> Any:
    if isinstance(cell, bytes):  # Parquet text written without its annotation
        return cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell


def _read_whole_text(cell: Any) -> str:
    """By cutting text, not by arithmetic: an id may have more digits than a float holds."""
    match = _WHOLE.fullmatch(str(cell))
    if match is None:
        raise ValueError(f"{str(cell)[:64]!r} is not a whole number, as `:int` in the mapping says it is")
    return match[1]


def _read_int(cell: Any) -> Any:
    if isinstance(cell, Decimal):
        cell = _plain_number(cell)
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() else cell
    match = _WHOLE.fullmatch(cell) if isinstance(cell, str) else None
    return int(match[1]) if match and len(match[1]) < 19 else cell


def _read_duration(cell: Any) -> Any:
    return cell // timedelta(milliseconds=1) if isinstance(cell, timedelta) else _read_int(cell)


def _read_float(cell: Any) -> Any:
    if isinstance(cell, Decimal):
        cell = float(cell)
    if not isinstance(cell, str | float):
        return cell
    if isinstance(cell, str) and "_" in cell:  # Python's own way to write numbers, and nobody else's
        return cell
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if math.isfinite(number) else str(cell)  # JSON has no infinity; decode refuses the text


def _read_bool(cell: Any) -> Any:
    return _BOOLEANS.get(str(cell).strip().lower(), cell)


def reads_ids(read: Callable[[Any], Any]) -> bool:
    """Whether this reader, of `cell_reader`, makes whole numbers of floats without having been asked to."""
    return read is _read_id


def _read_categories(cell: Any) -> Any:
    return [part.strip() for part in cell.split("|") if part.strip()] if isinstance(cell, str) else cell


_READERS: dict[str, Callable[[Any], Any]] = {
    "user_id": _read_id,
    "item_id": _read_id,
    "event_id": _read_id,
    "recommendation_id": _read_id,
    "dwell_ms": _read_duration,
    "slot": _read_int,
    "value": _read_float,
    "price": _read_float,
    "available": _read_bool,
    "categories": _read_categories,
}
"""Fields that are neither free text nor times."""

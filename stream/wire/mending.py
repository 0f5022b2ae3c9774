"""What is odd in a record's optional fields, mended or left out, so that it never costs the required ones. Pure.

Only a record that the strict decoder refuses comes here. Free text keeps all but what is no character (half an emoji, a byte
that is not UTF-8), which becomes U+FFFD; a number that is written as text, or with a fraction where there is none, is read;
anything else that a field cannot be is left out. Ids, `action`, `event_time` and `available` are never mended: another value
would say another thing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

AMOUNT_MAX: Final = 1e12
"""Largest value of an outcome, and price of an item: more is a mistake, and two of 1e308 add up to what no JSON can say."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\s*", re.ASCII)
_INT_DIGITS_MAX = 400
"""A longer integer is beyond every number that a field may be; Python refuses those of more than 4,300 digits."""

_SOURCES = ("behaviour", "social", "query", "media")
_LEFT_OUT: Final = None

Fields = dict[str, Any]


class Mended(NamedTuple):
    """Fields that a strict decoder can read, as far as the optional ones go, and the names of those that were mended."""

    fields: Fields
    mended: tuple[str, ...]


def read_object(value: bytes) -> Fields | None:
    """The object that a record holds, read as widely as can be: what is no character is a lone surrogate, as in Python's
    `surrogateescape`. None where there is no object.
    """
    try:
        read = json.loads(value.decode(errors="surrogateescape"), parse_int=_read_int)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def mend_event(fields: Fields) -> Mended:
    """The fields of an event."""
    odd = _EVENT if fields.get("action") != "query" else _QUERY
    return _mend(fields, odd)


def mend_item(fields: Fields) -> Mended:
    """The fields of an item."""
    return _mend(fields, _ITEM)


def broken_id(fields: Fields, names: tuple[str, ...]) -> str | None:
    """The first of these fields that is text with something in it that is no character."""
    return next((name for name in names if isinstance(text := fields.get(name), str) and _SURROGATE.search(text)), None)


def _mend(fields: Fields, readers: dict[str, Callable[[Any], Any]]) -> Mended:
    kept, mended = {}, []
    for name, value in fields.items():
        read = readers.get(name)
        new = value if read is None or value is None else read(value)
        if new is not None:
            kept[name] = new
        if new is not value and (type(new) is not type(value) or new != value):
            mended.append(name)
    return Mended(kept, tuple(mended))


def _read_int(text: str) -> int | float:
    return int(text) if len(text) <= _INT_DIGITS_MAX else math.inf


def _text(value: Any) -> str | None:
    """Free text."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _LEFT_OUT


def _id(value: Any) -> str | None:
    """An id that a record can do without: half of one names nothing."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and not _SURROGATE.search(text) else _LEFT_OUT


def _item_of_query(value: Any) -> str | None:
    """A query need not be about an item."""
    return value if isinstance(value, str) and value and not _SURROGATE.search(value) else _LEFT_OUT


def _number(value: Any) -> int | float | None:
    """A finite number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if {".", "e", "E"} & set(value) else _read_int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _LEFT_OUT
    try:
        return value if math.isfinite(value) else _LEFT_OUT
    except OverflowError:  # an integer that is too large for a float
        return _LEFT_OUT


def _amount(value: Any) -> int | float | None:
    """A number of `AMOUNT_MAX` at most, either way."""
    number = _number(value)
    return number if number is not None and abs(number) <= AMOUNT_MAX else _LEFT_OUT


def _whole(value: Any) -> int | None:
    """A whole number of 64 bits."""
    number = _number(value)
    if number is None or number != int(number) or not INT64_MIN <= number <= INT64_MAX:
        return _LEFT_OUT
    return int(number)


def _duration(value: Any) -> int | None:
    """A fraction of a millisecond is cut off; below 0 it is how some write that they do not know."""
    number = _number(value)
    return int(number) if number is not None and 0 <= number <= INT64_MAX else _LEFT_OUT


def _source(value: Any) -> str | None:
    return value if value in _SOURCES else _LEFT_OUT


def _texts_by_name(value: Any) -> dict[str, str] | None:
    """An object of texts, without the others."""
    if not isinstance(value, dict):
        return _LEFT_OUT
    texts = ((_text(name), _text(each)) for name, each in value.items())
    return {name: text for name, text in texts if name is not None and text is not None}


def _texts(value: Any) -> list[str] | None:
    """A list of texts; one alone is a list of one."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return _LEFT_OUT
    return [text for text in map(_text, value) if text]


def _time(value: Any) -> int | str | None:
    """What `stream.wire.times.published_ms` may understand."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else _LEFT_OUT


def _title(value: Any) -> Any:
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


_EVENT: Final[dict[str, Callable[[Any], Any]]] = {
    "dwell_ms": _duration,
    "value": _amount,
    "text": _text,
    "source": _source,
    "context": _texts_by_name,
    "recommendation_id": _id,
    "slot": _whole,
    "event_id": _id,
}
_QUERY: Final = _EVENT | {"item_id": _item_of_query}
_ITEM: Final[dict[str, Callable[[Any], Any]]] = {
    "title": _title,
    "categories": _texts,
    "description": _text,
    "language": _text,
    "media_text": _text,
    "published_at": _time,
    "price": _amount,
    "attributes": _texts_by_name,
}

"""A question as an HTTP request, and a response as its answer or the error that it is. Pure: no connection, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec

from stream.client.errors import PenchantHTTPError
from stream.serve.answers import NowAnswer, Problem

Method = Literal["GET", "POST", "PUT", "DELETE"]
Answer = TypeVar("Answer")
Question = TypeVar("Question", bound=msgspec.Struct)

SHOWN_OF_A_BODY: Final = 200
"""Characters of a body that is no problem, in the error's text."""


class Request(msgspec.Struct, Generic[Answer], frozen=True):
    """What is asked."""

    method: Method
    path: str
    """From `/`, quoted."""
    answer: type[Answer]
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """JSON."""
    wait_s: float = 0.0
    """How long the server may wait on request, beyond what an answer takes."""
    answered_by: tuple[int, ...] = ()
    """Error statuses whose body is an answer all the same."""


def path_of(*parts: str | int) -> str:
    """A path of segments, each quoted: an id may hold a slash, or be two dots.

    Raises:
        ValueError: one is empty, so the path would be that of something else.
    """
    if "" in parts:
        raise ValueError("an id is empty. Fix: an id has 1 to 128 bytes")
    return "".join(f"/{_quoted(str(part))}" for part in parts)


def read_line(line: str) -> NowAnswer | None:
    """What one line of the server-sent events says; None: nothing (a comment, the end of an event)."""
    name, _, value = line.partition(":")
    return msgspec.json.decode(value, type=NowAnswer) if name == "data" else None


def question_of(kind: type[Question], asked: Mapping[str, Any]) -> Question:
    """A question of what was given by name.

    Raises:
        TypeError: it has no such field.
    """
    return kind(**asked)


def query_of(question: msgspec.Struct) -> tuple[tuple[str, str], ...]:
    """The fields that differ from their defaults; each value of several under its own name again."""
    pairs: list[tuple[str, str]] = []
    for field in _fields(type(question)):
        value = getattr(question, field.name)
        if value is None or value == field.default:
            continue
        several = value if isinstance(value, tuple | list | set | frozenset) else (value,)
        pairs += ((field.encode_name, _text(each)) for each in several)
    return tuple(pairs)


def body_of(question: msgspec.Struct) -> bytes:
    """JSON of the fields that differ from their defaults."""
    fields = _fields(type(question))
    given = {field.encode_name: getattr(question, field.name) for field in fields if not _is_default(question, field)}
    return msgspec.json.encode(given)


def read(request: Request[Answer], status: int, body: bytes) -> Answer:
    """The answer.

    Raises:
        PenchantHTTPError: it is an error, or nothing that `penchant serve` says.
    """
    if status >= 400 and status not in request.answered_by:
        raise PenchantHTTPError(_problem(status, body), request.method, request.path)
    try:
        return msgspec.json.decode(body, type=request.answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"Status {status}, and a body that is no {request.answer.__name__}: {error}. Is this penchant serve?"
        raise PenchantHTTPError(
            Problem(title="Not understood", status=502, detail=detail), request.method, request.path
        ) from None


def _problem(status: int, body: bytes) -> Problem:
    """As it was told, or, if something between here and there answered (a proxy, say), what it said."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = " ".join(body.decode(errors="replace").split())[:SHOWN_OF_A_BODY]
        return Problem(title="Not answered", status=status, detail=text or "There was no body.")


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Kept: msgspec makes them anew from the annotations each time."""
    return msgspec.structs.fields(kind)


def _quoted(part: str) -> str:
    # `quote` leaves dots as they are, and a segment of nothing else is a way up.
    return "%2E" * len(part) if set(part) == {"."} else quote(part, safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_default(question: msgspec.Struct, field: msgspec.structs.FieldInfo) -> bool:
    value = getattr(question, field.name)
    if field.default is not msgspec.NODEFAULT:
        return bool(value == field.default)
    return field.default_factory is not msgspec.NODEFAULT and bool(value == field.default_factory())

"""What is in a request, as the types of `stream.serve.questions`; whatever does not fit is told with its name and bound."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from stream.serve.errors import RefusedQuestionError
from stream.wire.records import MAX_ID_BYTES

T = TypeVar("T", bound=msgspec.Struct)

PAIRS_MAX: Final = 600
"""Parameters of a query."""

_AT: Final = re.compile(r"(.*) - at `(\$[^`]*)`$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)


def query_as(kind: type[T], pairs: Iterable[tuple[str, str]]) -> T:
    """The parameters of a query.

    Raises:
        RefusedQuestionError: one is unknown, given twice or out of bounds.
    """
    many = _many(kind)
    found: dict[str, Any] = {}
    for n, (name, value) in enumerate(pairs):
        if n == PAIRS_MAX:
            raise RefusedQuestionError(f"more than {PAIRS_MAX} parameters")
        if name in many:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise RefusedQuestionError("it is given twice. Fix: give it once", name)
        else:
            found[name] = value
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refused(error, is_query=True) from None


def body_as(kind: type[T], body: bytes) -> T:
    """A JSON body.

    Raises:
        RefusedQuestionError: it is no JSON, or something in it is unknown or out of bounds.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _refused(error, is_query=False) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedQuestionError(f"the body is not the JSON it should be: {error}", "$") from None


def id_of(raw: str, name: str) -> str:
    """An id from a path, where it is percent-encoded.

    Raises:
        RefusedQuestionError: it is no UTF-8, empty or too long.
    """
    value = unquote_to_bytes(raw)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise RefusedQuestionError("it is not UTF-8", name) from None
    if not 1 <= len(value) <= MAX_ID_BYTES:
        raise RefusedQuestionError(f"an id has 1 to {MAX_ID_BYTES} bytes, not {len(value)}", name)
    return text


@cache
def _many(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Parameters that may be given more than once. Kept: looking at the fields of a type costs more than a list does."""
    fields = msgspec.structs.fields(kind)
    return frozenset(field.encode_name for field in fields if isinstance(field.default, tuple))


def _refused(error: msgspec.ValidationError, *, is_query: bool) -> RefusedQuestionError:
    text = str(error)
    unknown = _UNKNOWN.match(text)
    if unknown is not None:
        return RefusedQuestionError(
            "there is no such parameter" if is_query else "there is no such field", unknown[1][:100]
        )
    found = _AT.match(text)
    if found is None:
        return RefusedQuestionError(text, None if is_query else "$")
    path = found[2]
    return RefusedQuestionError(found[1], path.removeprefix("$.").split("[")[0] if is_query else path)

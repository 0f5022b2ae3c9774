"""Errors as `application/problem+json` (RFC 9457): what is wrong, where, and what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.responses import Response

from stream.serve.answers import Problem

RETRY_AFTER_S: Final = 1

_HEADERS: Final = {
    401: {"www-authenticate": "Bearer"},
    429: {"retry-after": str(RETRY_AFTER_S)},
    503: {"retry-after": str(RETRY_AFTER_S)},
}


def problem(status: int, detail: str, field: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """The response."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, field=field)
    return Response(
        msgspec.json.encode(body),
        status,
        {**_HEADERS.get(status, {}), **(headers or {})},
        "application/problem+json",
    )

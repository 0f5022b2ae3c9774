"""How both clients reach the server: address, token, TLS, and what they say where nobody answers."""

from __future__ import annotations

import ssl
from typing import Final, TypedDict

import httpx

import stream
from stream.client.errors import NotAnsweredError
from stream.client.request import Answer, Request
from stream.errors import UsageError

DEFAULT_URL: Final = "http://127.0.0.1:8780"
TIMEOUT_S: Final = 5.0

NO_CONNECTION: Final = (httpx.ConnectError, httpx.ConnectTimeout)
"""Nothing was sent yet."""


class HttpOptions(TypedDict):
    """What an httpx client is made with."""

    base_url: str
    headers: dict[str, str]
    verify: ssl.SSLContext | bool


def http_options(url: str, token: str | None, tls: ssl.SSLContext | None) -> HttpOptions:
    """Raises UsageError for a URL that is none."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no address of penchant serve.", f"such as {DEFAULT_URL}")
    headers = {"user-agent": f"penchant-client/{stream.__version__}"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {"base_url": url, "headers": headers, "verify": True if tls is None else tls}


def headers_of(request: Request[Answer]) -> dict[str, str]:
    """What a request adds to those of the connection."""
    return {} if request.body is None else {"content-type": "application/json"}


def not_answered(url: str, request: Request[Answer], error: httpx.HTTPError) -> NotAnsweredError:
    """The error to raise for one of httpx."""
    if isinstance(error, NO_CONNECTION):
        what = "Nobody answers"
    else:
        what = "No answer in time" if isinstance(error, httpx.TimeoutException) else "The connection broke"
    reason = str(error) or type(error).__name__
    return NotAnsweredError(f"{what} at {url} ({request.method} {request.path}): {reason}. Fix: is penchant serve up?")

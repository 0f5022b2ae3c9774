"""What every request passes: how many may be in work, who may ask, how large a body may be, how long anything may take; and
whatever goes wrong further in, as a problem."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.errors import PenchantError
from stream.metrics import ServeMetrics
from stream.serve.errors import RefusedQuestionError
from stream.serve.http.problems import problem
from stream.settings import Settings

logger = logging.getLogger(__name__)

BODY_DEADLINE_S: Final = 10.0
SEND_DEADLINE_S: Final = 10.0
"""A reader who takes nothing for so long is given up."""

OPEN_PATHS: Final = ("/health/", "/explorer/", "/v1/you/", "/you/")
"""Whoever asks: probes, files without data, and pages whose link is the key."""

NEVER_TURNED_AWAY: Final = ("/health/", "/metrics")
"""However much is in work: whoever watches has to see just that."""

OPEN_EXACTLY: Final = frozenset({"/", "/openapi.json", "/favicon.ico"})

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

PATH_TOLD: Final = 200
"""Characters of a path in the log."""

RECENT: Final = 5_000
"""Requests of which it is remembered how long they took."""

IsAdmin = Callable[[str, str], bool]
"""Whether a method and path take the admin token."""


class Guard:
    """An ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: ServeMetrics, is_admin: IsAdmin) -> None:
        self._app, self._settings, self._metrics, self._is_admin = app, settings, metrics, is_admin
        self._read, self._admin = _bytes(settings.serve_read_token), _bytes(settings.serve_admin_token)
        self._in_work = 0
        self.recent: deque[tuple[float, float]] = deque(maxlen=RECENT)
        """When requests were answered, by a monotonic clock, and how long that took, ms."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        # As it was sent: an id may have a slash or anything else in it, percent-encoded.
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        scope = dict(scope, path=path, app=self)  # with `app` routers raise what they would else answer in plain text
        answer = _Answer(send)
        began = time.perf_counter()
        if self._in_work >= self._settings.serve_max_requests and not path.startswith(NEVER_TURNED_AWAY):
            self._metrics.turned_away.inc()
            await problem(429, "too many requests are in work. Fix: ask again in a moment")(scope, receive, answer)
            return
        self._in_work += 1
        self._metrics.in_work.set(self._in_work)
        try:
            refused = self._refused(scope, path)
            if refused is not None:
                await refused(scope, receive, answer)
            else:
                await self._answer(scope, _Body(receive, self._settings.serve_body_max_bytes), answer)
        finally:
            self._in_work -= 1
            self._metrics.in_work.set(self._in_work)
            route = scope.get("route_name", "none")
            self._metrics.requests.labels(route, str(answer.status)).inc()
            if route != "now_stream":
                took_s = time.perf_counter() - began
                self._metrics.seconds.labels(route).observe(took_s)
                self.recent.append((time.monotonic(), took_s * 1000))
                # A path names people and items.
                asked = path if self._settings.serve_log_ids else route
                logger.debug("%s %s: %d in %.1f ms", scope["method"], asked[:PATH_TOLD], answer.status, took_s * 1000)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer)
        except RefusedQuestionError as error:
            await self._instead(answer, problem(error.status, error.detail, error.field), scope, receive)
        except HTTPException as error:
            detail = "there is no such path" if error.status_code == 404 else str(error.detail)
            response = problem(error.status_code, detail, headers=dict(error.headers or {}))
            await self._instead(answer, response, scope, receive)
        except TooLargeError:
            most = self._settings.serve_body_max_bytes
            await self._instead(answer, problem(413, f"a body has {most} bytes at most"), scope, receive)
        except TimeoutError:
            await self._instead(answer, problem(408, "the request took too long to arrive"), scope, receive)
        except GoneAwayError:
            return
        except PenchantError as error:
            logger.error("a request could not be answered: %s. Fix: see the disk and `penchant doctor`", error)
            await self._instead(answer, problem(503, str(error)), scope, receive)
        except Exception:  # the edge of all requests: one that hits a bug costs no other
            logger.exception("a request hit a bug. Fix: report it with these lines")
            await self._instead(answer, problem(500, "this is a bug; the log has more"), scope, receive)

    @staticmethod
    async def _instead(answer: _Answer, response: Response, scope: Scope, receive: Receive) -> None:
        if not answer.has_begun:
            await response(scope, receive, answer)

    def _refused(self, scope: Scope, path: str) -> Response | None:
        if path in OPEN_EXACTLY or path.startswith(OPEN_PATHS):
            return None
        wanted = [self._admin or self._read] if self._is_admin(scope["method"], path) else [self._read, self._admin]
        accepted = [token for token in wanted if token is not None]
        if wanted[0] is None:  # nobody has to show anything
            return None
        shown = Headers(scope=scope).get("authorization", "")
        kind, _, token = shown.partition(" ")
        given = token.strip().encode()
        # Each is compared: how long it takes does not tell which one is right.
        is_right = [hmac.compare_digest(given, each) for each in accepted]
        if kind.lower() == "bearer" and any(is_right):
            return None
        which = "admin" if self._is_admin(scope["method"], path) else "read"
        return problem(401, f"the {which} token is missing or wrong. Fix: send `Authorization: Bearer TOKEN`")


class TooLargeError(Exception):
    """A body with more bytes than the settings allow."""


class GoneAwayError(Exception):
    """Nobody reads the answer."""


class _Body:
    """Receives within bounds."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._left = receive, most_bytes
        self._deadline = time.monotonic() + BODY_DEADLINE_S
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:  # now it is about whether somebody still listens
            return await self._receive()
        message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise TooLargeError
            self._is_whole = not message.get("more_body", False)
        return message


class _Answer:
    """Sends within bounds, with the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun, self.status = True, message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
            message = {**message, "headers": headers.raw}
        sending: Awaitable[Any] = self._send(message)
        try:
            await asyncio.wait_for(sending, SEND_DEADLINE_S)
        except TimeoutError:
            raise GoneAwayError from None


def _bytes(token: SecretStr | None) -> bytes | None:
    return None if token is None else token.get_secret_value().encode()

"""Serves the explorer's files as `penchant serve` does, and answers its questions from a made-up shop, as it is told."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from explorer_shop import NOW, UNSEEN, Shop
from places import ROOT

from stream.serve.answers import Problem, Published, SentEvent, SentRequest
from stream.serve.http.guard import HEADERS
from stream.serve.questions import LessQuestion, PublishQuestion, TryQuestion, WhatIfQuestion

FILES = ROOT / "stream" / "serve" / "explorer"
CSP = HEADERS["content-security-policy"]

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


class FakePenchant:
    """Switches say how it answers; each may be turned at any time.

    `gates` hold answers back: of a request whose path and body contain the text, until the event is set.
    """

    def __init__(self) -> None:
        self.shop = Shop()
        self.unready: str | None = None
        self.read_token: str | None = None
        self.admin_token: str | None = None
        self.failing: set[str] = set()
        """Texts: a request that contains one is answered 500."""
        self.busy = 0
        """So many requests are answered 429 first."""
        self.gates: dict[str, threading.Event] = {}
        self.behind = False
        self.silent = threading.Event()
        """Set: the stream of `now` says nothing more."""
        self.requests: list[tuple[str, str, bytes]] = []
        self.ended = threading.Event()
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def reset(self) -> None:
        """As at first."""
        for gate in self.gates.values():
            gate.set()
        self.shop.nasty, self.shop.empty = None, False
        self.unready = self.read_token = self.admin_token = None
        self.failing, self.busy, self.gates, self.behind = set(), 0, {}, False
        self.silent.clear()
        self.requests.clear()

    def hold(self, text: str) -> threading.Event:
        """Answers to requests that contain this text wait until the event is set."""
        self.gates[text] = threading.Event()
        return self.gates[text]

    def asked(self, text: str) -> list[bytes]:
        """Bodies of the requests so far whose path contains this text."""
        return [body for _, path, body in self.requests if text in path]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes, bearer: str | None) -> Any:
        """The answer, or a Problem."""
        admin = method == "PUT" or path.endswith(("/try", "/link"))
        wanted = self.admin_token if admin else None if path.startswith("/v1/you/") else self.read_token
        if wanted is not None and bearer != f"Bearer {wanted}":
            return Problem("Unauthorized", 401, "send `Authorization: Bearer TOKEN` with the token of the settings")
        if self.busy:
            self.busy -= 1
            return Problem("Too Many Requests", 429, "too many requests at once")
        if self.unready is not None:
            return Problem("Service Unavailable", 503, self.unready)
        if any(text in path + body.decode() for text in self.failing):
            return Problem("Internal Server Error", 500, "a bug, see the log")
        for pattern, make in _ROUTES:
            if found := re.fullmatch(pattern, f"{method} {path}"):
                made = make(self.shop, [unquote(part) for part in found.groups()], query, body)
                return Problem("Not Found", 404, f"no item {path!r}") if made is None else made
        return Problem("Not Found", 404, f"no route {path}")


def _n(query: dict[str, list[str]]) -> int:
    return int(query.get("n", ["20"])[0])


def _tried(shop: Shop, body: bytes) -> Any:
    question = msgspec.json.decode(body, type=TryQuestion)
    if b"broken" in bytes(question.rule):
        return Problem("Bad Request", 400, "rule.where: no column 'broken'", field="rule.where")
    return shop.tried(question)


def _published(body: bytes) -> Published:
    return Published(msgspec.json.decode(body, type=PublishQuestion).key)


def _less(body: bytes) -> SentEvent:
    assert msgspec.json.decode(body, type=LessQuestion).items
    return SentEvent("events", 2, 4712)


_ROUTES: list[tuple[str, Any]] = [
    (r"GET /v1/users", lambda shop, _, q, b: shop.people()),
    (r"GET /v1/users/([^/]+)", lambda shop, p, q, b: shop.person(p[0])),
    (r"GET /v1/users/([^/]+)/recommendations", lambda shop, p, q, b: shop.list_of(p[0], _n(q))),
    (r"GET /v1/users/([^/]+)/recommendations/(\d+)/why", lambda shop, p, q, b: shop.why(p[0], int(p[1]))),
    (
        r"POST /v1/users/([^/]+)/what-if",
        lambda shop, p, q, b: shop.what_if(p[0], msgspec.json.decode(b, type=WhatIfQuestion)),
    ),
    (r"POST /v1/users/([^/]+)/link", lambda shop, p, q, b: {"path": "/you/signed", "expires_at": NOW}),
    (r"GET /v1/items", lambda shop, p, q, b: shop.items(q.get("q", [""])[0], _n(q))),
    (r"GET /v1/items/([^/]+)", lambda shop, p, q, b: shop.item(p[0])),
    (r"GET /v1/trending", lambda shop, p, q, b: shop.trending(_n(q))),
    (r"GET /v1/now", lambda shop, p, q, b: shop.now(0)),
    (r"GET /v1/rules", lambda shop, p, q, b: shop.rules()),
    (r"POST /v1/rules/try", lambda shop, p, q, b: _tried(shop, b)),
    (r"PUT /v1/rules", lambda shop, p, q, b: _published(b)),
    (r"GET /v1/you/signed", lambda shop, p, q, b: shop.you()),
    (r"POST /v1/you/signed/less", lambda shop, p, q, b: _less(b)),
    (r"POST /v1/you/signed/erase", lambda shop, p, q, b: SentRequest("4f6c", "interest.events", 0, 17)),
    (
        r"(?:GET|POST) /v1/you/[^/]+(?:/less|/erase)?",
        lambda shop, p, q, b: Problem("Gone", 410, "the link has expired"),
    ),
]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(fake: FakePenchant) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            if split.path.startswith("/v1/"):
                return self.api(split.path, split.query)
            name = "you.html" if split.path.startswith("/you/") else split.path.removeprefix("/explorer/")
            file = FILES / (name or "index.html")
            if "/" in name or file.suffix not in TYPES or not file.is_file():
                return self.send(404, b"no such file", "text/plain")
            return self.send(200, file.read_bytes(), TYPES[file.suffix])

        def do_POST(self) -> None:
            split = urlsplit(self.path)
            self.api(split.path, split.query)

        do_PUT = do_POST

        def api(self, path: str, query: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.requests.append((self.command, path, body))
            for text, gate in list(fake.gates.items()):
                if text in path + body.decode():
                    gate.wait(30)
            bearer = self.headers.get("Authorization")
            if path == "/v1/now/stream" and fake.unready is None and fake.read_token in (None, (bearer or "")[7:]):
                return self.stream()
            made = fake.answer(self.command, path, parse_qs(query), body, bearer)
            status = made.status if isinstance(made, Problem) else 200
            return self.send(
                status, msgspec.json.encode(made), "application/problem+json" if status >= 400 else "application/json"
            )

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            step = 0
            try:
                while not fake.ended.wait(0.02 if step < 60 else 0.5):
                    if not fake.silent.is_set():
                        self.wfile.write(
                            b"data: " + msgspec.json.encode(fake.shop.now(step, behind=fake.behind)) + b"\n\n"
                        )
                        step += 1
            except OSError:  # who watched has gone
                pass

        def send(self, status: int, body: bytes, kind: str) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", CSP)
                self.send_header("X-Content-Type-Options", "nosniff")
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # who asked has gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def explorer_server() -> Iterator[FakePenchant]:
    """A running one."""
    fake = FakePenchant()
    try:
        yield fake
    finally:
        fake.reset()
        fake.ended.set()
        fake.server.shutdown()
        fake.server.server_close()


__all__ = ["UNSEEN", "FakePenchant", "explorer_server"]

"""A chat service on localhost that answers as it is told and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], tuple[int, bytes]]
"""The user's data -> status and body."""


class FakeChatService:
    """`answer` may be exchanged at any time; with `hangs` no answer comes until the service ends, with `drips` slowly."""

    def __init__(self) -> None:
        self.answer: Answer = lambda data: saying(data["sentences"])
        self.hangs = self.drips = False
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.ended = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.requests.append((self.path, dict(self.headers), body))
                if service.hangs:
                    service.ended.wait(30)
                    return
                status, answer = service.answer(json.loads(body["messages"][1]["content"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                try:
                    if service.drips:
                        for byte in answer:
                            self.wfile.write(bytes([byte]))
                            if service.ended.wait(0.05):
                                return
                    else:
                        self.wfile.write(answer)
                except OSError:  # who asked has gone
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


def saying(sentences: object) -> tuple[int, bytes]:
    """As a service answers whose model says this (as JSON, or a text as it is)."""
    content = sentences if isinstance(sentences, str) else json.dumps(sentences, ensure_ascii=False)
    return 200, json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}).encode()


@contextmanager
def fake_chat_service() -> Iterator[FakeChatService]:
    """One that ends with the block."""
    service = FakeChatService()
    try:
        yield service
    finally:
        service.ended.set()
        service.server.shutdown()
        service.server.server_close()

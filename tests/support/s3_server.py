"""As much of S3 as a backup uses: objects put whole or in parts, read, and asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@contextmanager
def s3_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its address, and its objects by path."""
    objects: dict[str, bytes] = {}
    parts: dict[str, dict[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, status: int, body: bytes = b"", length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.send_header("ETag", '"tag"')
            self.send_header("Last-Modified", "Wed, 21 Oct 2026 07:28:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def _asked(self) -> tuple[str, dict[str, list[str]], bytes]:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return url.path, parse_qs(url.query, keep_blank_values=True), body

        def do_PUT(self) -> None:
            path, query, body = self._asked()
            if "partNumber" in query:
                parts[path][int(query["partNumber"][0])] = body
            else:
                objects[path] = body
            self._answer(200)

        def do_POST(self) -> None:
            path, query, _ = self._asked()
            if "uploads" in query:
                parts[path] = {}
                result = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            else:
                objects[path] = b"".join(part for _, part in sorted(parts.pop(path).items()))
                result = "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>"
            self._answer(200, result.encode())

        def do_GET(self) -> None:
            found = objects.get(urlsplit(self.path).path)
            self._answer(404 if found is None else 200, found or b"")

        def do_HEAD(self) -> None:
            found = objects.get(urlsplit(self.path).path)
            self._answer(404 if found is None else 200, length=len(found or b""))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", objects
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

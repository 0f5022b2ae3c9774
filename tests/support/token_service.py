"""An OIDC provider as small as can be: tokens that nobody signed, for a broker that accepts such."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def unsigned_token(subject: str, life_s: float) -> str:
    """A JWT of algorithm `none` (RFC 7519, section 6)."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + int(life_s)})
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."


class TokenService:
    """Gives tokens to `client_id` with `secret`; `asked` holds each question's form."""

    def __init__(self, client_id: str, secret: str, life_s: float = 3600) -> None:
        self.asked: list[dict[str, str]] = []
        self.answer: dict[str, Any] | bytes | None = None
        """Given in place of a token."""
        wanted = "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                service.asked.append(dict(urllib.parse.parse_qsl(form)))
                if self.headers["Authorization"] != wanted:
                    self.send_error(401)
                    return
                answer = service.answer
                if answer is None:
                    answer = {"access_token": unsigned_token(client_id, life_s), "expires_in": life_s}
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def __enter__(self) -> TokenService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

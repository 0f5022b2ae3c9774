"""One question to an OpenAI-compatible `/v1/chat/completions` endpoint: vLLM, llama.cpp, Ollama, or a vendor's.

It blocks, for no longer than its deadline from connecting to the last byte, and is not tried again: whoever asks can do
without.
"""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from stream.errors import RetryableError

MAX_ANSWER_BYTES: Final = 64 << 10

LATE: Final = "no answer in time"


class ChatServiceError(RetryableError):
    """No usable answer: `str` says why, without anything that was sent."""


class ChatService:
    """Where to ask. A connection per question, so that none is left half read."""

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 10.0) -> None:
        """Connect to nothing yet.

        Args:
            url: the service's base (`http://host:8000` or `.../v1`) or the endpoint itself.
            api_key: sent as a bearer token.
            timeout_s: for one question, altogether (a host of several addresses: for connecting to each of them).

        Raises:
            ValueError: the URL is no http(s) URL, or the key cannot be sent in a header.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ValueError("it is no http(s) URL")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("the key has characters that no header may have")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._path = parts.hostname, parts.port, _endpoint(parts)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout_s = timeout_s

    def ask(self, body: bytes) -> bytes:
        """The body of the answer to this body.

        Raises:
            ChatServiceError: no answer in time, one that is no 200, or one of more than `MAX_ANSWER_BYTES`.
        """
        connection = self._kind(self._host, self._port, timeout=self._timeout_s)
        late = threading.Event()
        try:
            connection.connect()
            # Timeouts of sockets are for each read; a service that sends a byte now and then would keep us for ever.
            timer = threading.Timer(self._timeout_s, _give_up, (connection.sock, late))
            timer.daemon = True
            timer.start()
            try:
                answer = self._exchange(connection, body)
            finally:
                timer.cancel()
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # UnicodeError: no such host can be
            why = LATE if late.is_set() or isinstance(error, TimeoutError) else type(error).__name__
            raise ChatServiceError(why) from None
        finally:
            connection.close()
        if late.is_set():  # what was read ends early
            raise ChatServiceError(LATE)
        return answer

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> bytes:
        connection.request("POST", self._path, body, self._headers)
        with connection.getresponse() as answer:
            if answer.status != 200:
                raise ChatServiceError(f"status {answer.status}")
            text = answer.read(MAX_ANSWER_BYTES + 1)
        if len(text) > MAX_ANSWER_BYTES:
            raise ChatServiceError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return text


def _give_up(connected: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _endpoint(parts: SplitResult) -> str:
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
    return f"{path}?{parts.query}" if parts.query else path

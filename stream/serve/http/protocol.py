"""HTTP/1.1 by httptools within bounds: how long a head may take, and how large it may be. uvicorn has neither."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX_BYTES: Final = 32 << 10
HEAD_DEADLINE_S: Final = 10.0
"""From a connection's beginning, or from the first byte of a head, until it is whole."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections that send too much, or nothing, before a request begins."""

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self.parser = _Parser(self)  # type: ignore[assignment]  # httptools has no protocol for parsers
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_DEADLINE_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._give_up)

    def on_url(self, url: bytes) -> None:
        """A part of the path and query."""
        if self._is_within(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if self._is_within(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._end_timer()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self.transport.is_closing():
            super().data_received(data)

    def _is_within(self, n_bytes: int) -> bool:
        self._head_bytes += n_bytes
        if self._head_bytes <= HEAD_MAX_BYTES:
            return True
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()
        return False

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Parser:
    """As `httptools.HttpRequestParser`, to which no request is an upgrade: servers may pass over what they do not speak.

    Java's HttpClient and `curl --http2` ask for `h2c` with every request. httptools takes what comes after such a head for
    another protocol: the body was lost, and so was whatever was asked next on the connection.
    """

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self._framing: list[tuple[bytes, bytes]] = []
        """Headers that say how long the body is."""
        self._is_in_head = self._is_told_again = False
        self._renew()

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        # As uvicorn: a client may say `Connection: close` and send a line end more.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: bytes) -> None:
        """See httptools."""
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            self._renew()
            if self._framing:  # the same head again, of which nobody hears, as one that is followed by its body
                self._is_told_again = True
                head = b"".join(b"%s: %s\r\n" % each for each in self._framing)
                self._parser.feed_data(b"POST / HTTP/1.1\r\n" + head + b"\r\n")

    def should_upgrade(self) -> bool:
        """Never."""
        return False

    def should_keep_alive(self) -> bool:
        """See httptools."""
        return bool(self._parser.should_keep_alive())

    def get_http_version(self) -> str:
        """See httptools."""
        return str(self._parser.get_http_version())

    def get_method(self) -> bytes:
        """See httptools."""
        return bytes(self._parser.get_method())

    # --- what the parser tells ---

    def on_message_begin(self) -> None:
        """See httptools; likewise below."""
        self._is_in_head = True
        if not self._is_told_again:
            self._framing = []
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_told_again:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_told_again:
            return
        if self._is_in_head and name.lower() in (b"content-length", b"transfer-encoding"):
            self._framing.append((name, value))
        self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if not self._is_told_again:
            self._protocol.on_headers_complete()
        self._is_told_again = False

    def on_body(self, body: bytes) -> None:
        self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        if not (self._framing and self._parser.should_upgrade()):
            self._protocol.on_message_complete()

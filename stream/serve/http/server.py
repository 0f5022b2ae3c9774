"""uvicorn, with what `penchant serve` wants of it: bounds, TLS, a graceful end, and one line when it begins."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import uvicorn

from stream.errors import SettingsError, UsageError
from stream.serve.http.protocol import BoundedProtocol
from stream.settings import Settings

BACKLOG: Final = 512
KEEP_ALIVE_S: Final = 30
SHUTDOWN_S: Final = 10


class Server:
    """`await serve()` until SIGTERM, SIGINT or `stop`."""

    def __init__(self, settings: Settings, app: Any) -> None:
        self._settings = settings
        self._socket = _bound(settings)
        host, port = self._socket.getsockname()[:2]
        scheme = "http" if settings.serve_tls_certificate is None else "https"
        self.address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
            **_tls(settings),
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise SettingsError(
                f"serve_tls_certificate, serve_tls_key or serve_tls_client_ca cannot be used: {error}.",
                "name PEM files that belong together",
            ) from None
        self._server = _Quiet(config)

    async def serve(self, on_began: Callable[[str], None]) -> None:
        """Answer; returns when everything that was asked before the end is answered, or its time is up."""
        with closing(self._socket):
            on_began(self.address)
            await self._server.serve([self._socket])

    def stop(self) -> None:
        """End soon."""
        self._server.should_exit = True

    @property
    def is_stopping(self) -> bool:
        """Whether it ends: streams end then, too."""
        return bool(self._server.should_exit)


class _Quiet(uvicorn.Server):
    """Ends on a signal and returns; uvicorn's own raises the signal again, which kills the process before it has tidied up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for each in signals:
            loop.add_signal_handler(each, self.handle_exit, each, None)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)


def _tls(settings: Settings) -> dict[str, Any]:
    if settings.serve_tls_certificate is None:
        return {}
    files = {
        "ssl_certfile": str(settings.serve_tls_certificate),
        "ssl_keyfile": str(settings.serve_tls_key),
    }
    if settings.serve_tls_client_ca is None:
        return files
    return files | {"ssl_ca_certs": str(settings.serve_tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.serve_host, settings.serve_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}.",
            "choose another --port, or 0 for a free one",
        ) from None
    found.listen(BACKLOG)
    found.setblocking(False)
    return found

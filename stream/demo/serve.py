"""The demo's `penchant serve`: a process of its own, that follows the topics from their beginning."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stream.demo.process import DemoProcess, free_port
from stream.settings import Settings

USUAL_PORT: Final = int(Settings.model_fields["serve_port"].default)


class ServeProcess(DemoProcess):
    """`penchant serve`."""

    command = "serve"

    def own(self, directory: Path) -> Mapping[str, Any]:
        """Where what it followed is."""
        return {"serve_data_dir": directory / "serve"}

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://{self.settings.serve_host}:{self.settings.serve_port}/"

    def is_ready(self) -> bool:
        """Whether it has read the topics to their ends."""
        try:
            with urllib.request.urlopen(f"{self.url}health/ready", timeout=2.0) as answer:  # noqa: S310  (our own http URL)
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def serve_port() -> int:
    """The usual one, if it is free: a page that was open stays what it was."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return free_port()
    return USUAL_PORT

"""The demo's worker: a process of its own, as anyone would run it, with a fresh data directory and its log in a file."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stream.demo.process import DemoProcess, free_port
from stream.settings import Settings

_SHUTDOWN_S: Final = 5.0
_COMMIT_INTERVAL_S: Final = 0.1


class WorkerProcess(DemoProcess):
    """`penchant worker`."""

    command = "worker"

    def own(self, directory: Path) -> Mapping[str, Any]:
        """Where its state is."""
        return {"data_dir": directory / "data"}

    @property
    def metrics_url(self) -> str:
        """Where the Prometheus endpoint is."""
        return f"http://{self.settings.metrics_host}:{self.settings.metrics_port}/metrics"

    def metric(self, name: str, label: str = "", timeout_s: float = 2.0) -> float | None:
        """Sum of a metric over its labels, or over those lines that hold this one; None while nothing answers."""
        try:
            with urllib.request.urlopen(self.metrics_url, timeout=timeout_s) as answer:  # noqa: S310  (our own http URL)
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(line.rpartition(" ")[2]) for line in lines if label in line)

    def compiling(self) -> str | None:
        """What it is compiling, as its log says it; None before and after."""
        told = [line for line in self.log.read_text(errors="replace").splitlines() if " compil" in line]
        last = re.search(r"compiling \d+ of \d+: [^(]*", told[-1]) if told else None
        return None if last is None else last[0].strip()


def demo_settings(settings: Settings, servers: str, list_age_s: float) -> Settings:
    """Those of a worker at the embedded broker, in whose shop a day passes in a sixth of a second."""
    return settings.model_copy(
        update={
            "bootstrap_servers": servers,
            "security_protocol": "PLAINTEXT",
            "metrics_host": "127.0.0.1",
            "metrics_port": free_port(),
            "shutdown_timeout_s": _SHUTDOWN_S,
            "commit_interval_s": _COMMIT_INTERVAL_S,
            "list_max_age_s": list_age_s,
        }
    )

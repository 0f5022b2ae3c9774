"""The demo's worker: a process of its own, as anyone would run it, with a fresh data directory and its log in a file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final, Self

from pydantic import SecretStr

from stream.errors import PenchantError
from stream.settings import ENV_PREFIX, Settings

LOG_LINES: Final = 5
"""Last lines of the log that an error quotes."""

_KILL_AFTER_S: Final = 3.0  # beyond the worker's own shutdown_timeout_s


class WorkerProcess:
    """`penchant worker` with exactly these settings. Use as a context: it runs inside, and is gone afterwards.

    Its log stays where it is when the worker failed, and is removed otherwise.
    """

    def __init__(self, settings: Settings) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="penchant-demo-"))
        handle, log = tempfile.mkstemp(prefix="penchant-demo-", suffix=".log")
        self.log = Path(log)
        self.settings = settings.model_copy(update={"data_dir": self._directory / "data"})
        with open(handle, "wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", "worker"],
                env=_environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                process_group=0,  # Ctrl-C is for the demo, which then stops its worker
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def metrics_url(self) -> str:
        """Where the Prometheus endpoint is."""
        return f"http://{self.settings.metrics_host}:{self.settings.metrics_port}/metrics"

    def check(self) -> None:
        """Raises PenchantError with the end of the log if the worker is not running."""
        code = self._process.poll()
        if code is not None:
            raise PenchantError(f"the worker ended ({_meaning(code)}). {self.log_end()}")

    def log_end(self) -> str:
        """Where the log is and what it ends with, for an error message."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return f"Its log, {self.log}, ends with:\n" + "\n".join(lines) if lines else f"Its log, {self.log}, is empty."

    def metric(self, name: str, timeout_s: float = 2.0) -> float | None:
        """Sum of a metric over its labels; None while the endpoint does not answer."""
        try:
            with urllib.request.urlopen(self.metrics_url, timeout=timeout_s) as answer:  # noqa: S310  (our own http URL)
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        samples = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(map(float, samples))

    def end(self, number: signal.Signals, within_s: float) -> int:
        """Send it a signal; its exit code. Raises subprocess.TimeoutExpired if it lives on."""
        self._process.send_signal(number)
        return self._process.wait(within_s)

    def stop(self) -> None:
        """Ask it to drain and commit; kill it if it does not. May be called again."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(self.settings.shutdown_timeout_s + _KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        if kind is None or issubclass(kind, KeyboardInterrupt):
            with contextlib.suppress(OSError):
                self.log.unlink()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(settings: Settings) -> dict[str, str]:
    """The process's own environment with every setting that has a value: nothing is left to a file or a default."""
    given = {name: getattr(settings, name) for name in type(settings).model_fields}
    text = {
        f"{ENV_PREFIX}{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
        if value is not None
    }
    others = {name: value for name, value in os.environ.items() if name.upper() not in text}
    return others | text | {"PYTHONUNBUFFERED": "1"}


def _meaning(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

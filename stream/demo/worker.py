"""The demo's worker: a process of its own, as anyone would run it, with a fresh data directory and its log in a file."""

from __future__ import annotations

import contextlib
import os
import re
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

from stream.errors import PenchantError, UsageError
from stream.settings import ENV_PREFIX, Settings

LOG_LINES: Final = 5
"""Last lines of the log that an error quotes."""

_SHUTDOWN_S: Final = 5.0
_COMMIT_INTERVAL_S: Final = 0.1
_KILL_AFTER_S: Final = 3.0  # beyond the worker's own shutdown_timeout_s


class WorkerProcess:
    """`penchant worker` with exactly these settings. Use as a context: it runs inside, and is gone afterwards.

    Its log stays where it is when the worker failed or `keep_log` was set, and is removed otherwise.
    """

    def __init__(self, settings: Settings, parent: Path | None = None) -> None:
        """`parent`: where the directory of its state is made, and removed afterwards; None: among the temporary files.

        Raises:
            UsageError: nothing can be made there.
        """
        try:
            if parent is not None:
                parent.mkdir(parents=True, exist_ok=True)
            self._directory = Path(tempfile.mkdtemp(prefix="penchant-demo-", dir=parent))
        except OSError as error:
            raise UsageError(
                f"data directory {parent or tempfile.gettempdir()} cannot be written: {error.strerror}.",
                "set --data-dir to a writable directory",
            ) from None
        handle, log = tempfile.mkstemp(prefix="penchant-demo-", suffix=".log")
        self.log = Path(log)
        self.keep_log = False
        """For whoever finds that something went wrong."""
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
        if not self.keep_log and (kind is None or issubclass(kind, KeyboardInterrupt)):
            with contextlib.suppress(OSError):
                self.log.unlink()


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

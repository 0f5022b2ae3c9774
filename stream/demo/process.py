"""A process of the demo: started with exactly its settings, its log in a file, gone when the demo is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import SecretStr
from pydantic_core import to_json

from stream.errors import PenchantError, UsageError
from stream.settings import ENV_PREFIX, Settings

LOG_LINES: Final = 5
"""Last lines of the log that an error quotes."""

_KILL_AFTER_S: Final = 3.0  # beyond the process's own shutdown_timeout_s


class DemoProcess(ABC):
    """`penchant COMMAND` with exactly these settings. Use as a context: it runs inside, and is gone afterwards.

    Its log stays where it is when it failed or `keep_log` was set, and is removed otherwise.
    """

    command = ""
    """Which one."""

    def __init__(self, settings: Settings, parent: Path | None = None) -> None:
        """`parent`: where the directory of what it keeps is made, and removed afterwards; None: among the temporary files.

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
        self.settings = settings.model_copy(update=self.own(self._directory))
        with open(handle, "wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", self.command],
                env=_environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                process_group=0,  # Ctrl-C is for the demo, which then stops its processes
            )

    @abstractmethod
    def own(self, directory: Path) -> Mapping[str, Any]:
        """Settings that are this process's own."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Raises PenchantError with the end of the log if it is not running."""
        code = self._process.poll()
        if code is not None:
            raise PenchantError(f"the {self.command} ended ({_meaning(code)}). {self.log_end()}")

    def log_end(self) -> str:
        """Where the log is and what it ends with, for an error message."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return f"Its log, {self.log}, ends with:\n" + "\n".join(lines) if lines else f"Its log, {self.log}, is empty."

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


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(settings: Settings) -> dict[str, str]:
    """The process's own environment with every setting that has a value: nothing is left to a file or a default."""
    given = {name: getattr(settings, name) for name in type(settings).model_fields}
    text = {f"{ENV_PREFIX}{name.upper()}": _as_variable(value) for name, value in given.items() if value is not None}
    others = {name: value for name, value in os.environ.items() if name.upper() not in text}
    return others | text | {"PYTHONUNBUFFERED": "1"}


def _meaning(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _as_variable(value: Any) -> str:
    """As it is read from there: lists and tables as JSON."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return to_json(value).decode() if isinstance(value, dict | tuple) else str(value)

"""Where a command's report goes besides the screen: files that are looked at before the work rather than after hours of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.strict_json import strict_json
from stream.errors import UsageError

FROM_LOCK = "`make .venv/.dev` in a checkout (from the lock), elsewhere pip install 'penchant[evaluate]'"


class Report:
    """What `--json` and `--html` ask for."""

    def __init__(self, json_: Path | None, html: Path | None) -> None:
        """Made before the work.

        Raises:
            UsageError: there is no directory for a file, or no matplotlib for the page.
        """
        self._json, self._html = json_, html
        for path in (json_, html):
            check_writable(path)
        if html is not None and find_spec("matplotlib") is None:
            raise UsageError("--html needs matplotlib, not installed here.", FROM_LOCK)

    def write(self, figures: dict[str, Any], page: Callable[[dict[str, Any]], str] | None = None) -> None:
        """The figures, and the command that made them; `page` is called only if there is to be one, None: there never is.

        Raises:
            UsageError: a file cannot be written.
        """
        full = figures | {"command": " ".join(sys.argv)}
        if self._json is not None:
            write(self._json, strict_json(full, indent=1) + "\n")
        if self._html is not None and page is not None:
            write(self._html, page(full))


def check_writable(path: Path | None) -> None:
    """Raises: UsageError: there is no directory for it."""
    if path is not None and not path.parent.is_dir():
        raise UsageError(
            f"{path} cannot be written: there is no directory {path.parent}.", "make it, or choose another"
        )


def write(path: Path, content: str | bytes) -> None:
    """Raises: UsageError: it cannot be written."""
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "choose another file") from None


def work_directory(path: Path) -> Path:
    """The same path, made if it is not there.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}.", "choose another --work-dir") from None
    return path

"""Where machine code is kept: one directory of the user's for all clones and checkouts, bounded in size.

A file holds one function for one signature, one Python, one Numba and one kind of processor, and its name says so. So
processes that compile at the same time write different files, or the same one with the same content.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numba
from numba.core.serialize import dumps

MAX_BYTES: Final = 256 << 20
"""Of all files together; beyond it those go that were not used for longest. A complete set is about 10 MB."""

SUFFIX: Final = ".code"


@cache
def shared_directory() -> Path | None:
    """`$NUMBA_CACHE_DIR`, else `penchant/compiled` in the user's cache directory; None if it is not ours or cannot be written.

    What lies there is run, so a directory of another user is not used.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        directory = Path(given) if given else caches / "penchant" / "compiled"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_ours = directory.stat().st_uid == os.getuid()
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return directory if is_ours and os.access(directory, os.R_OK | os.W_OK | os.X_OK) else None


class MachineCodeFiles:
    """The files of one function; what Numba asks for as the file of its cache. A file that cannot be read is no file."""

    def __init__(self, directory: Path, base: str, max_bytes: int = MAX_BYTES) -> None:
        """`base` differs wherever the function, or anything that it is compiled of, differs."""
        self._directory, self._base, self._max_bytes = directory, base, max_bytes

    def load(self, key: Any) -> Any:
        """What was saved for this signature and processor; None if nothing was."""
        path = self._path(key)
        try:
            kept, data = pickle.loads(path.read_bytes())  # noqa: S301  (a directory that this user owns)
        except (OSError, EOFError, pickle.UnpicklingError, ValueError, AttributeError, ImportError, IndexError):
            return None  # it is damaged, or names what this version does not have
        if kept != _text(key):
            return None
        with suppress(OSError):
            os.utime(path)  # used: the last to be removed
        return data

    def save(self, key: Any, data: Any) -> None:
        """Keep it; where that is not possible (a full disk), it is compiled again next time."""
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            content = dumps((_text(key), data))
            handle, name = tempfile.mkstemp(dir=self._directory, suffix=".part")
            try:
                with open(handle, "wb") as file:
                    file.write(content)
                os.replace(name, self._path(key))
            except OSError:
                os.unlink(name)
                raise
            _remove_unused(self._directory, self._max_bytes)

    def flush(self) -> None:
        """Forget what is kept of this function."""
        for path in self._directory.glob(f"{self._base}-*{SUFFIX}"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        return self._directory / f"{self._base}-{blake2b(_text(key).encode(), digest_size=8).hexdigest()}{SUFFIX}"


def _text(key: Any) -> str:
    """Numba's key: signature, processor, and bytecode; with the version, because files outlive an upgrade."""
    return f"{numba.__version__} {key!r}"


def _remove_unused(directory: Path, max_bytes: int) -> None:
    """The files used last stay, up to `max_bytes` together."""
    found = []
    for entry in os.scandir(directory):
        with suppress(FileNotFoundError):  # another process removes as well
            if entry.name.endswith((SUFFIX, ".part")):
                about = entry.stat()
                found.append((about.st_mtime, about.st_size, entry.path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > max_bytes:
            Path(path).unlink(missing_ok=True)

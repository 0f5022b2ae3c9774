"""Room on the disk of the data directory. A full one ends a worker while it writes; one that is nearly full is told before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from stream.errors import UsageError

LOW_BYTES: Final = 5 << 30
"""Below this a worker warns."""

BUFFERS_NEEDED: Final = 4
"""Write buffers that must have room: what is in memory is written as files, and files are rewritten beside the old ones."""

FIX: Final = "free some space, or set --data-dir to a larger disk"


def needed_bytes(write_buffer_bytes: int) -> int:
    """Without so much room a worker does not start."""
    return BUFFERS_NEEDED * write_buffer_bytes


def free_bytes(path: Path) -> int:
    """On the disk of `path`, or of where it is going to be."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def check_room(path: Path, write_buffer_bytes: int) -> None:
    """Raises:
    UsageError: a worker with these write buffers would soon find the disk full.
    """
    free, needed = free_bytes(path), needed_bytes(write_buffer_bytes)
    if free < needed:
        raise UsageError(
            f"data directory {path} has {free >> 20} MiB free and needs {needed >> 20} "
            f"({BUFFERS_NEEDED} times write_buffer_bytes).",
            FIX,
        )


class LowRoom:
    """Whether to warn: once each time that it becomes low."""

    def __init__(self) -> None:
        self._was_low = False

    def becomes_low(self, free: int) -> bool:
        """`free` bytes now."""
        was_low, self._was_low = self._was_low, free < LOW_BYTES
        return self._was_low and not was_low

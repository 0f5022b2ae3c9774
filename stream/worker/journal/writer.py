"""Writes a journal: messages are gathered on the event loop, compressed and written by a thread of its own.

A worker never waits for it. Where the disk is full, too slow, or the journal as large as it may become, it ends there, which is
told; what it holds until then is a whole journal.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import cramjam
import msgspec

from stream.errors import SettingsError
from stream.worker.journal.entries import Entry

logger = logging.getLogger(__name__)

BLOCK_BYTES: Final = 1 << 20
"""Of messages that are compressed together."""

WAITING_MAX_BYTES: Final = 64 << 20
"""Of blocks that wait for the disk; beyond that it is too slow."""

LEVEL: Final = 1
"""Of zstd."""

LENGTH_BYTES: Final = 4
MAGIC: Final = b"penchant journal\n"


class JournalWriter:
    """Of one run of a worker. `add` and `close` from one thread."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Raises SettingsError where the file cannot be made."""
        self.path, self._max_bytes = path, max_bytes
        self._encode = msgspec.msgpack.Encoder().encode
        self._block = bytearray()
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting_bytes, self._counting = 0, threading.Lock()
        self._ended: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # For whoever runs the worker alone: it holds what people did.
            self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            self._file.write(MAGIC)
        except OSError as error:
            raise SettingsError(
                f"journal_dir: {path} cannot be written: {error.strerror}.",
                "name a directory that the worker may write to",
            ) from None
        self.written_bytes = len(MAGIC)
        """So far, compressed."""
        self._thread = threading.Thread(target=self._write_blocks, name="journal", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> str | None:
        """Why nothing more is written; None: it goes on."""
        return self._ended

    def add(self, entry: Entry) -> None:
        """One message more. Returns at once."""
        if self._ended is not None:
            return
        message = self._encode(entry)
        self._block += len(message).to_bytes(LENGTH_BYTES, "little")
        self._block += message
        if len(self._block) >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """What was gathered goes to the disk soon."""
        if not self._block or self._ended is not None:
            return
        block, self._block = bytes(self._block), bytearray()
        if self._waiting_bytes and self._waiting_bytes + len(block) > WAITING_MAX_BYTES:
            self._end("the disk is too slow for it")
            return
        self._count(len(block))
        self._blocks.put(block)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is left, if that does not take too long."""
        self.flush()
        self._blocks.put(None)
        self._thread.join(timeout_s)

    def _count(self, waiting_bytes: int) -> None:
        with self._counting:
            self._waiting_bytes += waiting_bytes

    def _end(self, why: str) -> None:
        self._ended = why
        logger.warning("the journal %s ends here, since %s; the worker goes on. Nothing to do", self.path, why)

    def _write_blocks(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._count(-len(block))
            if self._ended is not None:
                continue
            packed = bytes(cramjam.zstd.compress(block, level=LEVEL))
            if self.written_bytes + LENGTH_BYTES + len(packed) > self._max_bytes:
                self._end("it is as large as journal_max_bytes allows")
                continue
            try:
                self._file.write(len(packed).to_bytes(LENGTH_BYTES, "little") + packed)
                self._file.flush()
            except OSError as error:
                self._end(f"it cannot be written: {error.strerror}")
                continue
            self.written_bytes += LENGTH_BYTES + len(packed)
        with suppress(OSError):  # told already; what it still has is written, or it is not
            self._file.close()

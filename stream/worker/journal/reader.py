"""Reads a journal, message by message, in memory that does not depend on its length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cramjam
import msgspec

from stream.errors import InputFileError
from stream.worker.journal.entries import FORMAT, Begin, Entry
from stream.worker.journal.writer import LENGTH_BYTES, MAGIC

BLOCK_MAX_BYTES: Final = 256 << 20
"""A longer one is damaged: a message holds a batch of records at most."""


def read_journal(path: Path) -> Iterator[Entry]:
    """Its messages; the first one is a `Begin`. One that a crash has cut off ends it.

    Raises:
        InputFileError: it cannot be read, is no journal, or one of another format.
    """
    decoder = msgspec.msgpack.Decoder(Entry)
    is_first = True
    try:
        for block in _blocks(path):
            at = 0
            while at < len(block):
                end = at + LENGTH_BYTES + int.from_bytes(block[at : at + LENGTH_BYTES], "little")
                if end > len(block):
                    raise ValueError("a message is cut off inside a block")
                entry = decoder.decode(block[at + LENGTH_BYTES : end])
                if is_first and (not isinstance(entry, Begin) or entry.format != FORMAT):
                    raise InputFileError(
                        f"{path} is a journal of another release.", "simulate with the release that made it"
                    )
                is_first, at = False, end
                yield entry
    except (ValueError, cramjam.DecompressionError, msgspec.MsgspecError) as error:
        raise InputFileError(f"{path} is damaged: {str(error)[:200]}.", "record another one") from None
    if is_first:
        raise InputFileError(f"{path} holds nothing.", "let the worker run for longer")


def _blocks(path: Path) -> Iterator[memoryview]:
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise InputFileError(
                    f"{path} is no journal.", "name a file that a worker with `journal_dir` has written"
                )
            while len(head := file.read(LENGTH_BYTES)) == LENGTH_BYTES:
                size = int.from_bytes(head, "little")
                if size > BLOCK_MAX_BYTES:
                    raise ValueError(f"a block of {size} bytes")
                packed = file.read(size)
                if len(packed) < size:
                    return  # the worker was killed while it wrote
                yield memoryview(bytes(cramjam.zstd.decompress(packed)))
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}.", "name an existing journal") from None

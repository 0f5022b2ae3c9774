"""The records of one partition as a file: in the order of the topic, in compressed blocks of about a megabyte.

    file    8 B "PENCHBK1", then blocks
    block   8 B  bytes compressed u32, bytes not compressed u32; then zstd of records, one after another
    record  24 B offset i64, Kafka timestamp i64 ms, bytes of the key i32, of the value i32 (-1 = there is none); key; value

A file that was cut or changed is found by the hash in the manifest, before anything of it is used.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import cramjam

from stream.errors import InputFileError

MAGIC: Final = b"PENCHBK1"
BLOCK_BYTES: Final = 1 << 20
BLOCK_MAX_BYTES: Final = 64 << 20
"""More than any record that Kafka takes from Penchant."""

_BLOCK = struct.Struct("<II")
_RECORD = struct.Struct("<qqii")


class Kept(NamedTuple):
    """A record in a backup."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class ArchiveWriter:
    """Writes one file; a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash, self._buffer = hashlib.sha256(), bytearray()
        self.records = self.n_bytes = 0
        self._out(MAGIC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._end_block()
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of the file; once it is closed."""
        return self._hash.hexdigest()

    def add(self, record: Kept) -> None:
        """The next record."""
        key, value = record.key, record.value
        lengths = -1 if key is None else len(key), -1 if value is None else len(value)
        self._buffer += _RECORD.pack(record.offset, record.timestamp_ms, *lengths)
        self._buffer += key or b""
        self._buffer += value or b""
        self.records += 1
        if len(self._buffer) >= BLOCK_BYTES:
            self._end_block()

    def _end_block(self) -> None:
        if self._buffer:
            packed = bytes(cramjam.zstd.compress(bytes(self._buffer)))
            self._out(_BLOCK.pack(len(packed), len(self._buffer)) + packed)
            self._buffer.clear()

    def _out(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.n_bytes += len(chunk)


def read_archive(chunks: Iterable[bytes], name: str) -> Iterator[list[Kept]]:
    """The records of a file, a block at a time.

    Raises:
        InputFileError: it is none, or not whole.
    """
    source = _Bytes(chunks, name)
    if source.take(len(MAGIC)) != MAGIC:
        raise InputFileError(f"{name} is no file of a backup.", "name the place that `penchant backup` was given")
    while source.has_more():
        packed_bytes, raw_bytes = _BLOCK.unpack(source.take(_BLOCK.size))
        if max(packed_bytes, raw_bytes) > BLOCK_MAX_BYTES:
            raise damaged(name)
        try:
            raw = bytes(cramjam.zstd.decompress(source.take(packed_bytes), output_len=raw_bytes))
        except cramjam.DecompressionError:
            raise damaged(name) from None
        yield list(_records(raw, name))


def _records(raw: bytes, name: str) -> Iterator[Kept]:
    at = 0
    while at < len(raw):
        if at + _RECORD.size > len(raw):
            raise damaged(name)
        offset, timestamp_ms, key_bytes, value_bytes = _RECORD.unpack_from(raw, at)
        key_at = at + _RECORD.size
        value_at = key_at + max(key_bytes, 0)
        at = value_at + max(value_bytes, 0)
        if at > len(raw):
            raise damaged(name)
        key = None if key_bytes < 0 else raw[key_at:value_at]
        yield Kept(offset, timestamp_ms, key, None if value_bytes < 0 else raw[value_at:at])


def damaged(name: str) -> InputFileError:
    """What a file is whose bytes are not those that were written."""
    return InputFileError(
        f"{name} was cut or changed since it was written: nothing of this backup was used.", "restore an older backup"
    )


class _Bytes:
    """Chunks as a stream of which as many bytes are taken as wanted."""

    def __init__(self, chunks: Iterable[bytes], name: str) -> None:
        self._chunks, self._name, self._buffer = iter(chunks), name, bytearray()

    def has_more(self) -> bool:
        return bool(self._buffer) or self._fill(1)

    def take(self, n_bytes: int) -> bytes:
        if not self._fill(n_bytes):
            raise damaged(self._name)
        taken = bytes(self._buffer[:n_bytes])
        del self._buffer[:n_bytes]
        return taken

    def _fill(self, n_bytes: int) -> bool:
        while len(self._buffer) < n_bytes:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer += chunk
        return True

"""The newest record of each key, in the order of the topic, however many there are: on the disk, not in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import rocksdict

from stream.backup.archive import Kept

_OF_KEY: Final = b"k"
_OF_OFFSET: Final = b"o"
_OFFSET = struct.Struct(">q")
_HEAD = struct.Struct("<qI")

BUFFERS_BYTES: Final = 32 << 20
CACHE_BYTES: Final = 16 << 20


class Newest:
    """A context manager over a database in an empty directory; what is removed leaves nothing."""

    def __init__(self, directory: Path) -> None:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(256)
        options.set_write_buffer_manager(rocksdict.WriteBufferManager(BUFFERS_BYTES, False))
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_cache(rocksdict.Cache(CACHE_BYTES))
        blocks.set_bloom_filter(10, block_based=False)
        options.set_block_based_table_factory(blocks)
        self._directory = directory
        self._db = rocksdict.Rdict(str(directory), options)
        # What is lost with the process is of no use after it.
        self._unlogged = rocksdict.WriteOptions()
        self._unlogged.disable_wal = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._db.close()
        rocksdict.Rdict.destroy(str(self._directory))

    def add(self, records: Iterable[Kept]) -> None:
        """The next records of the partition; one without a value removes what was known of its key."""
        newest = {record.key: record for record in records if record.key is not None}
        keys = list(newest)
        if not keys:
            return
        before = self._db[[_OF_KEY + key for key in keys]]
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, known in zip(keys, before, strict=True):
            record = newest[key]
            if known is not None:
                batch.delete(_OF_OFFSET + known)
            if record.value is None:
                batch.delete(_OF_KEY + key)
                continue
            at = _OFFSET.pack(record.offset)
            batch.put(_OF_KEY + key, at)
            batch.put(_OF_OFFSET + at, _HEAD.pack(record.timestamp_ms, len(key)) + key + record.value)
        self._db.write(batch, self._unlogged)

    def __iter__(self) -> Iterator[Kept]:
        """In the order of their offsets."""
        for stored, packed in self._db.items(from_key=_OF_OFFSET):
            (offset,) = _OFFSET.unpack(stored[1:])
            timestamp_ms, key_bytes = _HEAD.unpack_from(packed)
            value_at = _HEAD.size + key_bytes
            yield Kept(offset, timestamp_ms, packed[_HEAD.size : value_at], packed[value_at:])

"""RocksDB: one database per partition of a table, with one block cache and one memtable budget for all of them."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import rocksdict

from stream.errors import StorageError, UsageError
from stream.wire.records import MAX_ID_BYTES

logger = logging.getLogger(__name__)

_OFFSET_KEY = b"\x00penchant.changelog-offset".ljust(MAX_ID_BYTES + 1, b"\x00")
"""Longer than any id may be, since an id may hold any characters; `PartitionStore.items` leaves it out."""

MAX_OPEN_FILES = 256
"""A database's; RocksDB's own default is unlimited, and aborts where the process runs out (rocksdict#573)."""

ARENA_BLOCK_BYTES: Final = 64 << 10
"""What a memtable takes at a time, and has as long as a single record is in it. RocksDB's own megabyte takes 512 MB for the
tables of 256 partitions, whatever the budget: only the database that is written to makes room."""

MANIFEST_BYTES: Final = 256 << 10
"""It names the first and last key of every file there ever was, so it is begun anew before it holds many that are gone."""

SLICE_BYTES: Final = 128 << 10
"""Of what is written at once. rocksdict keeps the interpreter's lock until RocksDB has done it, half a millisecond for so much:
20 MB of item records in one batch stopped the event loop, and with it every list, for 80 ms."""


class PartitionStore:
    """State of one partition on disk: raw bytes by key, and the changelog offset that they include.

    A damaged database is deleted, and Faust rebuilds it from the changelog: at once where opening it fails, and at the next
    start where a block is found damaged later, because what was read from it before may be in use.

    Every method raises StorageError where the database cannot be read or written.
    """

    def __init__(self, path: Path, options: rocksdict.Options) -> None:
        self.path = path
        self._in_use, self._is_closed = threading.Lock(), False
        self._damaged = path.with_suffix(".damaged")
        if self._damaged.exists():
            self._delete("was found damaged")
        try:
            with self._errors("opened"):
                self._db = rocksdict.Rdict(str(path), options)
        except StorageError:
            if not self._damaged.exists():
                raise
            self._delete("is damaged")
            with self._errors("opened"):
                self._db = rocksdict.Rdict(str(path), options)

    def _delete(self, why: str) -> None:
        logger.warning(
            "local state in %s %s: rebuilding it from the changelog. Nothing to do; if it comes again, see the disk",
            self.path,
            why,
        )
        shutil.rmtree(self.path, ignore_errors=True)
        self._damaged.unlink()

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # rocksdict raises nothing more particular
            then = ""
            if str(error).startswith("Corruption"):
                with suppress(OSError):
                    self._damaged.touch()
                    then = " (it is rebuilt from the changelog at the next start)"
            raise StorageError(f"{self.path} could not be {done}: {error}{then}") from error

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of `keys`; None where there is none."""
        if not keys:
            return []
        with self._errors("read"):
            values: list[bytes | None] = self._db[list(keys)]
        return values

    def write(
        self, values: Iterable[tuple[bytes, bytes | None]], changelog_offset: int | None, rest: float = 0.0
    ) -> None:
        """The values (None deletes), in slices, and with the last of them the offset of the last changelog record they include.

        A crash between two slices leaves values that are ahead of the offset. The changelog has had them before, and is read
        again from the offset, so they come out the same. Nothing is written if `values` raises.

        Args:
            values: key and value.
            changelog_offset: None = there is no changelog.
            rest: after each slice the caller's thread sleeps so many times as long as it took, and others run.
        """
        slices = self._slices(values, changelog_offset)
        last = slices.pop()
        for each in slices:
            began = time.perf_counter()
            self._write(each)
            if rest:
                time.sleep(rest * (time.perf_counter() - began))
        self._write(last)

    def _slices(
        self, values: Iterable[tuple[bytes, bytes | None]], changelog_offset: int | None
    ) -> list[rocksdict.WriteBatch]:
        slices = [rocksdict.WriteBatch(raw_mode=True)]
        n_bytes = 0
        for key, value in values:
            if n_bytes >= SLICE_BYTES:
                slices.append(rocksdict.WriteBatch(raw_mode=True))
                n_bytes = 0
            if value is None:
                slices[-1].delete(key)
            else:
                slices[-1].put(key, value)
            n_bytes += len(key) + len(value or b"")
        if changelog_offset is not None:
            slices[-1].put(_OFFSET_KEY, str(changelog_offset).encode())
        return slices

    def _write(self, batch: rocksdict.WriteBatch) -> None:
        with self._errors("written"):
            self._db.write(batch)

    def changelog_offset(self) -> int | None:
        """Offset of the last changelog record included; None in an empty store."""
        with self._errors("read"):
            value = self._db.get(_OFFSET_KEY)
        return None if value is None else int(value)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values, in key order."""
        return ((key, value) for key, value in self._db.items() if key != _OFFSET_KEY)

    def items_with_prefix(
        self, prefix: bytes, after: bytes | None = None, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Keys that begin so, and their values, in key order: of those behind `after` the first `limit`; None = all."""
        found: list[tuple[bytes, bytes]] = []
        with self._errors("read"):
            for key, value in self._db.items(from_key=after or prefix):
                if not key.startswith(prefix) or len(found) == limit:
                    break
                if key != after:
                    found.append((key, value))
        return found

    def has_never(self, key: bytes) -> bool:
        """Whether it is certain that there is no such key; of keys that are not there it is for all but one in a hundred."""
        with self._errors("read"):
            return not self._db.key_may_exist(key)

    def size_bytes(self) -> int:
        """Bytes of the live SST files and memtables, about."""
        return sum(
            int(self._db.property_int_value(name) or 0)
            for name in ("rocksdb.live-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        )

    def key_count(self) -> int:
        """Keys, as RocksDB estimates them."""
        return max(0, int(self._db.property_int_value("rocksdb.estimate-num-keys") or 0) - 1)

    def compact(self, first: bytes, last: bytes) -> None:
        """Rewrite files so that what was deleted between these keys is in none any more. Blocking; others may read and write
        meanwhile, and closing waits for it. RocksDB notes the keys in its own log, so they must name nobody."""
        with self._in_use, self._errors("compacted"):
            if not self._is_closed:
                options = rocksdict.CompactOptions()
                # A deletion in the last level names its key, too.
                options.set_bottommost_level_compaction(rocksdict.BottommostLevelCompaction.force())
                self._db.compact_range(first, last, options)

    def close(self) -> None:
        """Flush and close; the directory may then be opened by another process."""
        with self._in_use:
            self._is_closed = True
            self._db.close()


class PartitionStores:
    """The open partitions of one table under `directory`."""

    def __init__(self, directory: Path, cache: rocksdict.Cache, buffers: rocksdict.WriteBufferManager) -> None:
        self._directory = directory
        self._cache, self._buffers = cache, buffers
        self._open: dict[int, PartitionStore] = {}

    def __getitem__(self, partition: int) -> PartitionStore:
        """The store of a partition, opened when first asked for."""
        store = self._open.get(partition)
        if store is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            store = self._open[partition] = PartitionStore(self._path(partition), self._options())
        return store

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._open))

    def close(self, partition: int) -> None:
        """Close one partition's store if it is open."""
        store = self._open.pop(partition, None)
        if store is not None:
            store.close()

    def close_all(self) -> None:
        """Close every open store."""
        for partition in list(self._open):
            self.close(partition)

    def wipe(self, partition: int) -> None:
        """Close a partition's store and delete its directory, so that it is rebuilt from the changelog."""
        self.close(partition)
        shutil.rmtree(self._path(partition), ignore_errors=True)

    def _path(self, partition: int) -> Path:
        return self._directory / f"{partition}.db"

    def _options(self) -> rocksdict.Options:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(MAX_OPEN_FILES)
        options.set_write_buffer_manager(self._buffers)
        options.set_arena_block_size(ARENA_BLOCK_BYTES)
        options.set_keep_log_file_num(2)
        options.set_max_manifest_file_size(MANIFEST_BYTES)
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_bloom_filter(10, block_based=False)
        options.set_block_based_table_factory(blocks)
        return options


class DataDirectory:
    """A worker's own directory, locked against every other worker for as long as it runs."""

    def __init__(self, path: Path, block_cache_bytes: int, write_buffer_bytes: int) -> None:
        self.path = path
        self._lock = _lock(path)
        self._cache = rocksdict.Cache(block_cache_bytes)
        self._buffers = rocksdict.WriteBufferManager(write_buffer_bytes, False)

    def stores(self, table: str) -> PartitionStores:
        """Stores of one table; all tables share the cache and the memtable budget."""
        return PartitionStores(self.path / table, self._cache, self._buffers)

    @property
    def cache_bytes(self) -> int:
        """Memory of the block cache in use."""
        return int(self._cache.get_usage())

    @property
    def buffer_bytes(self) -> int:
        """Memory of the memtables in use."""
        return int(self._buffers.get_usage())

    def close(self) -> None:
        """Give the directory back."""
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / "lock").open("a")  # not "w": that would empty the owner's
    except OSError as error:
        raise UsageError(
            f"data directory {path} cannot be written: {error.strerror}.", "set --data-dir to a writable directory"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(
            f"data directory {path} is in use by another process.", "give each a --data-dir of its own"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file

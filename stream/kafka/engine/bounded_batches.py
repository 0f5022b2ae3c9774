"""Batches of records whose decompression is bounded before memory is taken.

What a producer compresses well can be a thousand times larger than what it sends: 1.5 KB of zstd unpack to 50 MB, 1 MB to
gigabytes. aiokafka unpacks whatever comes, and fetches the same batch again for ever where that fails. Here a batch that
unpacks to more than the bound, or to nothing that can be read, is passed over, and one record without a value stands for it,
so that it is told of as any bad record. Read against aiokafka 0.14.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.record import default_records, legacy_records
from aiokafka.record._crecords import default_records as fast_default_records
from aiokafka.record._crecords import legacy_records as fast_legacy_records
from aiokafka.structs import ConsumerRecord

logger = logging.getLogger(__name__)

UNREAD_HEADER: Final = "penchant-unread-batch"
"""Of the record that stands for a batch; its value says what is wrong with it."""

GUESS_TIMES: Final = 32
GUESS_MIN_BYTES: Final = 1 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS
_PartitionRecords: Any = fetcher.PartitionRecords


class UnreadableBatchError(Exception):
    """A batch that is not unpacked."""


class BoundedCodecs:
    """Decompression of the four kinds that Kafka knows, to `max_bytes` at most.

    Raises UnreadableBatchError where it would be more, or where the bytes are none of the kind.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def gzip_decode(self, payload: Any) -> bytes:
        """See the class."""
        left, parts, room = bytes(payload), list[bytes](), self._max_bytes
        while left:  # some producers' gzip is several, one behind another
            unpacking = zlib.decompressobj(_GZIP)
            try:
                parts.append(unpacking.decompress(left, room + 1))
            except zlib.error as error:
                raise UnreadableBatchError(f"it is no gzip: {error}") from error
            room -= len(parts[-1])
            if room < 0:
                raise self._too_large()
            if not unpacking.eof:
                raise UnreadableBatchError("it is no whole gzip")
            left = unpacking.unused_data
        return b"".join(parts)

    def snappy_decode(self, payload: Any) -> bytes:
        """See the class."""
        packed = bytes(payload)
        try:
            if sum(cramjam.snappy.decompress_raw_len(block) for block in _snappy_blocks(packed)) > self._max_bytes:
                raise self._too_large()
            return bytes(codec.snappy_decode(packed))
        except (cramjam.DecompressionError, ValueError) as error:
            raise UnreadableBatchError(f"it is no snappy: {error}") from error

    def lz4_decode(self, payload: Any) -> bytes:
        """See the class."""
        return self._into_buffer(cramjam.lz4.decompress_into, bytes(payload))

    def zstd_decode(self, payload: Any) -> bytes:
        """See the class."""
        return self._into_buffer(cramjam.zstd.decompress_into, bytes(payload))

    def _into_buffer(self, unpack: Callable[[bytes, Any], int], payload: bytes) -> bytes:
        # Memory of an empty array is the system's to give when it is written to: a large one costs what is used of it.
        for size in (min(self._max_bytes, max(GUESS_MIN_BYTES, GUESS_TIMES * len(payload))), self._max_bytes):
            buffer = np.empty(size, np.uint8)
            try:
                return buffer[: unpack(payload, buffer)].tobytes()
            except cramjam.DecompressionError as error:
                failed = error
        if "whole buffer" in str(failed):
            raise self._too_large()
        raise UnreadableBatchError(f"it cannot be unpacked: {failed}") from failed

    def _too_large(self) -> UnreadableBatchError:
        return UnreadableBatchError(f"it unpacks to more than {self._max_bytes} bytes")


def _snappy_blocks(packed: bytes) -> Iterator[bytes]:
    """The raw blocks of a stream as Java writes it; of any other the whole."""
    if not packed.startswith(b"\x82SNAPPY\x00"):
        yield packed
        return
    at = 16
    while at + 4 <= len(packed):
        size = int.from_bytes(packed[at : at + 4], "big")
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


class _Batches:
    """aiokafka's batches of one fetch, of which the last is known."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.last: Any = None

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        self.last = self._records.next_batch()
        return self.last


class BoundedPartitionRecords(_PartitionRecords):  # type: ignore[misc]
    """Records of one partition; a batch that is not unpacked is one record without key and value."""

    next_fetch_offset: int
    _records: Any
    passed_over: Callable[[str], bool] = staticmethod(lambda _: True)
    """Whether batches of a topic may be passed over: not of a changelog, where that would be a hole in the state."""

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        batches = self._records = _Batches(self._records)
        while True:
            try:
                yield from super()._unpack_records()
            except UnreadableBatchError as error:
                if not type(self).passed_over(self._tp.topic):
                    raise
                yield self._stand_in(batches.last, error)
            else:
                return

    def _stand_in(self, batch: Any, error: UnreadableBatchError) -> ConsumerRecord:
        first, self.next_fetch_offset = max(batch.base_offset, self.next_fetch_offset), batch.next_offset
        why = f"a batch of offsets {batch.base_offset} to {batch.next_offset - 1} is passed over: {error}"
        logger.error(
            "%s partition %d: %s. Fix: the batch goes to the dead letters; have its producer send smaller ones",
            *(self._tp.topic, self._tp.partition, why),
        )
        headers = ((UNREAD_HEADER, why.encode()),)
        return ConsumerRecord(
            self._tp.topic, self._tp.partition, first, -1, 0, None, None, None, 0, 0, headers
        )  # fmt: skip


def bound_batches(max_bytes: int, passed_over: Callable[[str], bool]) -> None:
    """From now on, in this process."""
    codecs = BoundedCodecs(max_bytes)
    for module in (default_records, legacy_records, fast_default_records, fast_legacy_records):
        for name in ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode"):
            if hasattr(module, name):
                setattr(module, name, getattr(codecs, name))
    BoundedPartitionRecords.passed_over = staticmethod(passed_over)
    fetcher.PartitionRecords = BoundedPartitionRecords


def unread_batch(record: Any) -> str | None:
    """Why the batch that this record stands for was passed over; None of any other record."""
    for name, value in getattr(record, "headers", None) or ():  # records of other readers have none
        if name == UNREAD_HEADER and record.value is None:
            return str(value.decode(errors="replace"))
    return None

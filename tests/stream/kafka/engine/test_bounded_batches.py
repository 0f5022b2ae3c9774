"""Decompression that is bounded before memory is taken: the same bytes as aiokafka's, or a refusal."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import suppress

import pytest
from aiokafka import codec
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kafka.engine.bounded_batches import BoundedCodecs, UnreadableBatchError

MIB = 1 << 20
KINDS = {
    "gzip": codec.gzip_encode,
    "snappy": codec.snappy_encode,
    "snappy_raw": lambda data: codec.snappy_encode(data, xerial_compatible=False),
    "lz4": codec.lz4_encode,
    "zstd": codec.zstd_encode,
}
CODECS = BoundedCodecs(4 * MIB)


def decode(kind: str, packed: bytes, codecs: BoundedCodecs = CODECS) -> bytes:
    return getattr(codecs, f"{kind.removesuffix('_raw')}_decode")(memoryview(packed))


@pytest.mark.parametrize("kind", KINDS)
@settings(derandomize=True, deadline=None, max_examples=40)
@given(data=st.binary(min_size=1, max_size=2000), times=st.sampled_from([1, 3, 1000]))
def test_what_was_packed_comes_out(kind: str, data: bytes, times: int) -> None:
    assert decode(kind, KINDS[kind](data * times)) == data * times


def test_a_gzip_of_several_is_their_contents_one_behind_another() -> None:
    several = codec.gzip_encode(b"one ") + codec.gzip_encode(b"") + codec.gzip_encode(b"two")
    assert decode("gzip", several) == b"one two"
    with pytest.raises(UnreadableBatchError, match="more than"):
        decode("gzip", codec.gzip_encode(bytes(3 * MIB)) + codec.gzip_encode(bytes(2 * MIB)))
    with pytest.raises(UnreadableBatchError, match="no whole gzip"):
        decode("gzip", codec.gzip_encode(b"some text " * 50)[:-9])


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_the_bound_comes_out_and_a_byte_more_does_not(kind: str) -> None:
    for data in (bytes(4 * MIB), os.urandom(4 * MIB)):
        assert decode(kind, KINDS[kind](data)) == data
        with pytest.raises(UnreadableBatchError, match="more than 4194304 bytes"):
            decode(kind, KINDS[kind](data + b"x"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_costs_no_more_memory_than_the_bound(kind: str) -> None:
    packed = KINDS[kind](bytes(200 * MIB))
    tracemalloc.start()
    with pytest.raises(UnreadableBatchError):
        decode(kind, packed)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 24 * MIB


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [b"", b"\x00", b"junk that is nothing", b"\x82SNAPPY\x00" + bytes(8) + b"\xff" * 40])
def test_what_is_no_such_thing_is_refused_or_is_nothing(kind: str, junk: bytes) -> None:
    with suppress(UnreadableBatchError):
        assert len(decode(kind, junk)) <= len(junk)


@pytest.mark.parametrize("kind", KINDS)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(at=st.integers(0, 10_000), cut=st.booleans())
def test_damaged_bytes_raise_nothing_else(kind: str, at: int, cut: bool) -> None:
    packed = bytearray(KINDS[kind](b"some text that repeats " * 100))
    at %= len(packed)
    packed = packed[:at] if cut else packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :]
    with suppress(UnreadableBatchError):
        decode(kind, bytes(packed))

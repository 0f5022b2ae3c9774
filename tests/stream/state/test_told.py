"""The mark of refused catalogue records that were told of."""

from __future__ import annotations

import pytest
from places import GOLDEN

from stream.errors import CorruptStateError
from stream.state.told import TOLD_PREFIX, Told, pack_told, partition_of, read_told, told_key

TOLD = Told(41, 1_700_000_000_123)


def test_the_bytes_of_a_mark_are_those_of_the_golden_file():
    golden = bytes.fromhex((GOLDEN / "told_mark_v1.hex").read_text())
    assert pack_told(TOLD) == golden
    assert read_told(golden) == TOLD


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" + bytes(16), pack_told(TOLD) + b"\x00"])
def test_what_is_no_mark_is_refused(value):
    with pytest.raises(CorruptStateError, match="version 1"):
        read_told(value)


def test_a_key_says_its_partition_and_no_user_id_begins_like_it():
    assert [partition_of(told_key(p)) for p in (0, 7, 2**31)] == [0, 7, 2**31]
    with pytest.raises(UnicodeDecodeError):
        (TOLD_PREFIX + b"ann").decode()


def test_a_younger_record_at_an_earlier_offset_is_of_a_topic_that_was_made_anew():
    assert TOLD.includes(41, TOLD.timestamp_ms)
    assert TOLD.includes(3, -1)
    assert not TOLD.includes(42, TOLD.timestamp_ms)
    assert not TOLD.includes(3, TOLD.timestamp_ms + 1)

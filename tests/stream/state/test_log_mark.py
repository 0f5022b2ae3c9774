"""The mark of an events log: stored bytes of each version, and offsets that go on over logs."""

from __future__ import annotations

import pytest
from places import GOLDEN

from stream.errors import CorruptStateError
from stream.state.log_mark import LogMark, pack_log, pack_meant, read_log, read_meant
from stream.wire.codes import EPOCH_OFFSETS, offset_in_log

MARK = LogMark("dSkZqe9lTAWvw1Y0jFFGNA", 3, 12_345_678_901, 64, 12)


def test_a_mark_is_read_as_it_was_written() -> None:
    for mark in (MARK, MARK._replace(topic_id=None), LogMark("a", 0, 0, 1, 1)):
        assert read_log(pack_log(mark)) == mark
    for topic_id in (MARK.topic_id, None):
        assert read_meant(pack_meant(topic_id)) == topic_id


def test_the_stored_bytes_of_version_1() -> None:
    assert pack_log(MARK).hex() == (GOLDEN / "log_mark_v1.hex").read_text().strip()


def test_bytes_of_another_version_are_no_mark() -> None:
    for value in (b"", b"\x02" + pack_log(MARK)[1:], pack_log(MARK) + b"\0"):
        with pytest.raises(CorruptStateError):
            read_log(value)
    with pytest.raises(CorruptStateError):
        read_meant(b"\x02" + pack_meant(None)[1:])


def test_offsets_of_a_later_log_are_larger_than_all_of_before_and_say_where_the_record_lies() -> None:
    before, after = MARK._replace(epoch=0), MARK._replace(epoch=1)
    assert before.base_offset == 0
    assert after.base_offset + 0 > before.base_offset + EPOCH_OFFSETS - 1
    assert offset_in_log(after.base_offset + 17) == 17
    assert offset_in_log(17) == 17
    assert 511 * EPOCH_OFFSETS < 1 << 53, "JSON's numbers have them exactly"

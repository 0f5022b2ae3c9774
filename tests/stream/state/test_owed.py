"""The mark of a list that is owed: the bytes of the golden file, and what is none is refused."""

from __future__ import annotations

import pytest
from places import GOLDEN

from stream.errors import CorruptStateError
from stream.state.owed import OWED_PREFIX, pack_mark, read_mark

TIMESTAMP_MS = 1_700_000_000_123


def test_the_bytes_of_a_mark_are_those_of_the_golden_file():
    golden = bytes.fromhex((GOLDEN / "owed_mark_v1.hex").read_text())
    assert pack_mark(TIMESTAMP_MS) == golden
    assert read_mark(golden) == TIMESTAMP_MS


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" + bytes(8), pack_mark(0) + b"\x00"])
def test_what_is_no_mark_is_refused(value):
    with pytest.raises(CorruptStateError, match="version 1"):
        read_mark(value)


def test_no_user_id_begins_like_the_key_of_a_mark():
    with pytest.raises(UnicodeDecodeError):
        (OWED_PREFIX + b"ann").decode()

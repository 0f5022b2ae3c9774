"""stream/storage/disk.py"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from stream.errors import UsageError
from stream.storage.disk import LOW_BYTES, LowRoom, check_room, free_bytes, needed_bytes

MIB = 1 << 20


def test_too_little_room_is_one_line_that_names_the_directory_and_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.storage.disk.shutil.disk_usage", lambda _: SimpleNamespace(free=300 * MIB))
    check_room(tmp_path, 75 * MIB)
    with pytest.raises(UsageError) as refused:
        check_room(tmp_path, 76 * MIB)
    assert str(refused.value) == (
        f"data directory {tmp_path} has 300 MiB free and needs 304 (4 times write_buffer_bytes). "
        "Fix: free some space, or set --data-dir to a larger disk"
    )


def test_a_directory_that_is_not_there_yet_has_the_room_of_the_disk_where_it_will_be(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0
    assert needed_bytes(128 * MIB) == 512 * MIB


def test_low_room_is_told_once_until_there_was_more() -> None:
    room = LowRoom()
    free = [LOW_BYTES, LOW_BYTES - 1, 0, LOW_BYTES, LOW_BYTES - 1]
    assert [room.becomes_low(each) for each in free] == [False, True, False, False, True]

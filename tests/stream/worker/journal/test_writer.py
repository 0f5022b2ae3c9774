"""The journal's file: whole, bounded, and never in the way of the worker."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.worker.journal.entries import FORMAT, Begin, ListDropped, Weighed
from stream.worker.journal.reader import read_journal
from stream.worker.journal.writer import WAITING_MAX_BYTES, JournalWriter

BEGIN = Begin(FORMAT, "x", 0, {})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "a" / "b.journal", 1 << 30)
    entries = [BEGIN, *(ListDropped(n, b"k" * n) for n in range(2000)), Weighed()]
    for n, entry in enumerate(entries):
        writer.add(entry)
        if n % 300 == 0:
            writer.flush()
    writer.close()
    assert list(read_journal(writer.path)) == entries
    assert writer.written_bytes == writer.path.stat().st_size


def test_at_its_bound_it_ends_and_what_is_there_is_whole(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "b.journal", 3_000)
    writer.add(BEGIN)
    writer.flush()
    for n in range(200):
        writer.add(ListDropped(n, bytes((n * i * i) % 256 for i in range(997))))
        writer.flush()
        time.sleep(0.0005)
    writer.close()
    assert writer.ended == "it is as large as journal_max_bytes allows"
    assert writer.path.stat().st_size <= 3_000
    found = list(read_journal(writer.path))
    assert found[0] == BEGIN
    assert [each.partition for each in found[1:]] == list(range(len(found) - 1))


def test_a_full_disk_ends_it_and_nothing_is_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = JournalWriter(tmp_path / "b.journal", 1 << 30)

    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    writer._file.close()
    writer._file = Full()  # type: ignore[assignment]
    writer.add(BEGIN)
    writer.close()
    writer.add(BEGIN)
    assert writer.ended == "it cannot be written: No space left on device"
    assert "ends here" in caplog.text


def test_a_disk_that_is_too_slow_ends_it(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "b.journal", 1 << 30)
    written = writer._file.write
    writer._file.write = lambda data: (time.sleep(0.2), written(data))[1]  # type: ignore[method-assign]
    large = ListDropped(0, bytes(WAITING_MAX_BYTES // 8))
    for _ in range(16):
        writer.add(large)
    assert writer.ended == "the disk is too slow for it"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"journal_dir: .* cannot be written"):
        JournalWriter(tmp_path / "file" / "b.journal", 1)

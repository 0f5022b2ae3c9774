"""The file of one partition: what is written is read, and what was cut or changed is told."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from backups import archive_of, kept

from stream.backup.archive import BLOCK_BYTES, read_archive
from stream.errors import InputFileError

RECORDS = [
    kept(3, b"ann", b"x" * 700_000),
    kept(5, None, b""),
    kept(6, b"", None),
    kept(9, b"bob", random.Random(0).randbytes(BLOCK_BYTES + 5), 0),
    *(kept(10 + n, str(n).encode(), b"value") for n in range(1000)),
]


def chunks(data: bytes, n_bytes: int) -> list[bytes]:
    return [data[at : at + n_bytes] for at in range(0, len(data), n_bytes)]


def test_records_come_back_as_they_were_in_blocks_however_the_bytes_arrive(tmp_path: Path) -> None:
    writer = archive_of(tmp_path / "file", RECORDS)
    data = (tmp_path / "file").read_bytes()
    assert (writer.records, writer.n_bytes) == (len(RECORDS), len(data))
    assert writer.sha256 == hashlib.sha256(data).hexdigest()
    for n_bytes in (7_001, len(data)):
        blocks = list(read_archive(chunks(data, n_bytes), "file"))
        assert [record for block in blocks for record in block] == RECORDS
        assert len(blocks) > 1


def test_an_empty_partition_is_a_file_without_records(tmp_path: Path) -> None:
    archive_of(tmp_path / "file", [])
    assert list(read_archive([(tmp_path / "file").read_bytes()], "file")) == []


@pytest.mark.parametrize("cut", [1, 4, 8, 1000])
def test_a_file_that_was_cut_is_told(tmp_path: Path, cut: int) -> None:
    archive_of(tmp_path / "file", RECORDS)
    data = (tmp_path / "file").read_bytes()
    with pytest.raises(InputFileError, match="was cut or changed"):
        list(read_archive([data[:-cut]], "file"))


def test_bytes_that_are_none_of_a_backup_are_told_and_changed_ones_never_end_otherwise(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no file of a backup"):
        list(read_archive([b"PK\x03\x04 a zip file"], "file"))
    archive_of(tmp_path / "file", RECORDS[4:])
    data = bytearray((tmp_path / "file").read_bytes())
    rng = random.Random(1)
    told = 0
    for _ in range(200):
        changed = bytearray(data)
        changed[rng.randrange(8, len(data))] ^= 1 << rng.randrange(8)
        try:
            list(read_archive([bytes(changed)], "file"))
        except InputFileError:
            told += 1
    assert told > 20, "what its structure shows; the rest is for the hash in the manifest"

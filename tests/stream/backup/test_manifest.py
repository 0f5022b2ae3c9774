"""The manifest makes a backup of files; without it, or with one that was changed, there is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from backups import manifest_of, position

from stream.backup.manifest import NAME, File, files_of, read_manifest, write_manifest
from stream.backup.places import DirectoryPlace
from stream.errors import InputFileError


def test_it_is_read_as_it_was_written_and_names_its_files_by_partition(tmp_path: Path) -> None:
    files = [File(f"changelog-{p}", "changelog", p, 1, 2, "hash") for p in (1, 0)] + [
        File("rules", "rules", 0, 0, 8, "h")
    ]
    manifest = manifest_of([position(0), position(1)], files)
    write_manifest(manifest, DirectoryPlace(tmp_path / "place"), tmp_path)
    assert read_manifest(DirectoryPlace(tmp_path / "place")) == manifest
    assert [file.partition for file in files_of(manifest, "changelog")] == [0, 1]


def test_no_manifest_a_changed_one_and_one_of_a_later_release_are_refused(tmp_path: Path) -> None:
    place = DirectoryPlace(tmp_path)
    with pytest.raises(InputFileError, match="holds no backup"):
        read_manifest(place)
    write_manifest(manifest_of([position()]), DirectoryPlace(tmp_path), tmp_path)
    whole = (tmp_path / NAME).read_bytes()
    for changed in (whole[:-20], whole[: len(whole) // 2], whole.replace(b"old.events", b"new.events"), b""):
        (tmp_path / NAME).write_bytes(changed)
        with pytest.raises(InputFileError, match="was cut or changed"):
            read_manifest(place)
    later = b'{"format_version":2}'
    (tmp_path / NAME).write_bytes(later + b"\n" + hashlib.sha256(later).hexdigest().encode() + b"\n")
    with pytest.raises(InputFileError, match="of format 2; this release reads 1"):
        read_manifest(place)

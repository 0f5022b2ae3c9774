"""A directory and a bucket: a file is there whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from s3_server import s3_server

from stream.backup.places import DirectoryPlace, ObjectPlace, Place, place_of
from stream.errors import InputFileError, UsageError


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return (
        DirectoryPlace(tmp_path / "new" / "place")
        if request.param == "directory"
        else ObjectPlace(MemoryStore(), "s3://x")
    )


def test_what_is_put_is_read_and_nothing_else_is_there(place: Place, tmp_path: Path) -> None:
    assert not place.has("file")
    with pytest.raises(InputFileError, match="cannot be read"):
        list(place.read("file"))
    data = bytes(range(256)) * 20_000
    (tmp_path / "local").write_bytes(data)
    place.put("file", tmp_path / "local")
    assert place.has("file")
    assert b"".join(place.read("file")) == data
    (tmp_path / "local").write_bytes(b"newer")
    place.put("file", tmp_path / "local")
    assert b"".join(place.read("file")) == b"newer"


def test_a_bucket_is_reached_by_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    large = bytes(range(256)) * 50_000  # goes in parts
    (tmp_path / "large").write_bytes(large)
    with s3_server() as (address, objects):
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_REGION": "nowhere",
        }.items():
            monkeypatch.setenv(name, value)
        place = place_of("s3://bucket/2026/01")
        assert not place.has("large")
        place.put("large", tmp_path / "large")
        assert list(objects) == ["/bucket/2026/01/large"]
        assert place.has("large")
        assert b"".join(place.read("large")) == large
        with pytest.raises(InputFileError, match="cannot be read"):
            list(place.read("other"))


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputFileError, match="cannot be written"):
        DirectoryPlace(tmp_path / "file" / "place").put("name", tmp_path / "file")


def test_a_bucket_needs_the_extra_and_a_directory_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(place_of("s3://bucket/prefix"), ObjectPlace)
    with pytest.raises(UsageError, match="no place that can be reached") as told:
        place_of("s3://")
    assert "\n" not in str(told.value)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(UsageError, match=r"penchant\[backup\]"):
        place_of("s3://bucket/prefix")
    assert isinstance(place_of(str(tmp_path)), DirectoryPlace)

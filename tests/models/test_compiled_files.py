"""Machine code is kept for all checkouts of a user, and its directory stays small."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from models.compiled import compiled, compiled_part
from models.compiled_files import MachineCodeFiles, shared_directory


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    shared_directory.cache_clear()
    yield
    shared_directory.cache_clear()


def test_what_was_saved_is_there_for_the_same_key_only(tmp_path: Path):
    files, others = MachineCodeFiles(tmp_path, "f-1"), MachineCodeFiles(tmp_path, "f-2")
    files.save("a", b"code of a")
    files.save("b", b"code of b")

    assert [files.load(key) for key in "abc"] == [b"code of a", b"code of b", None]
    assert others.load("a") is None
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".code", ".code"], "no half-written file is left"


def test_a_damaged_file_is_no_file(tmp_path: Path):
    files = MachineCodeFiles(tmp_path, "f")
    files.save("a", b"code")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3])

    assert files.load("a") is None


def test_a_file_that_names_what_is_not_there_any_more_is_no_file(tmp_path: Path):
    files = MachineCodeFiles(tmp_path, "f")
    for gone in (b"cmodels.compiled\nGone\n.", b"cno_such_module\nGone\n."):
        files.save("a", b"code")
        (path,) = tmp_path.iterdir()
        path.write_bytes(gone)
        assert files.load("a") is None


def test_beyond_the_bound_those_go_that_were_not_used_for_longest(tmp_path: Path):
    files = MachineCodeFiles(tmp_path, "f", max_bytes=2_500)
    for at, key in enumerate("ab"):
        files.save(key, bytes(1_000))
        for path in tmp_path.iterdir():
            os.utime(path, (at, at)) if path.stat().st_mtime > 1_000 else None
    assert files.load("a") is not None  # used just now

    files.save("c", bytes(1_000))

    assert [files.load(key) is not None for key in "abc"] == [True, False, True]


def test_a_directory_that_cannot_be_written_keeps_nothing_and_harms_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    files = MachineCodeFiles(tmp_path / "file" / "below", "f")
    files.save("a", b"code")

    assert files.load("a") is None


def test_the_directory_is_the_users_and_none_where_there_can_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert shared_directory() == tmp_path / "penchant" / "compiled"
    assert (tmp_path / "penchant" / "compiled").stat().st_mode & 0o077 == 0

    shared_directory.cache_clear()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert shared_directory() is None


def test_a_directory_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)

    assert shared_directory() is None


@compiled_part
def doubled(values):
    return values * 2.0


@compiled
def summed(values):
    return doubled(values).sum()


def test_a_part_is_called_by_compiled_code_and_refuses_python():
    assert summed(np.ones(3)) == 6.0
    with pytest.raises(TypeError, match="doubled is a part of compiled functions"):
        doubled(np.ones(3))

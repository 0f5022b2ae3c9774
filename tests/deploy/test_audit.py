"""Licences of what runs where Penchant runs, and that the locks hold hashes and no addresses."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest
from places import ROOT

spec = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
assert spec is not None
audit: Any = importlib.util.module_from_spec(spec)
assert spec.loader is not None
spec.loader.exec_module(audit)


def test_whatever_runs_has_a_licence_that_is_allowed():
    found = audit.licences()
    assert len(found) > 40
    assert [each for each in found if audit.not_allowed(each["License"])] == []


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False), ("Apache-2.0 AND MIT", False), ("GPL-2.0-only", True), ("GPL-3.0 OR MIT", False),
        ("AGPL-3.0 AND MIT", True),
        ("Apache-2.0 WITH LLVM-exception", False), ("UNKNOWN", True), ("LGPL-2.1", True), ("Proprietary", True), ("", True),
    ],
)  # fmt: skip
def test_a_licence_is_judged_by_all_of_its_parts(licence: str, refused: bool):
    assert audit.not_allowed(licence) is refused


@pytest.mark.parametrize("lock", sorted((ROOT / "deploy" / "lock").glob("*.txt")), ids=lambda path: path.name)
def test_a_lock_has_a_hash_for_everything_and_no_address(lock: Any):
    text = lock.read_text()
    assert "://" not in text
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        assert "==" in requirement, requirement
        assert "--hash=sha256:" in requirement, requirement

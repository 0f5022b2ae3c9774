"""Where every command is tested: an empty directory, 80 columns, and nothing of the developer's own settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def clean_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask for it by name in a fixture that sets variables: those have to be set after the others are gone."""
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

"""Machine code kept on disk is never older than a source that went into it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from models.compiled import source_digest

INNER = """
from typing import NamedTuple
from models.compiled import compiled
STEP = {step}
class {record}(NamedTuple):
    x: int
@compiled
def inner(record):
    return record.x + {added}
"""
OUTER = """
from models.compiled import compiled
from inner_of_test import STEP, inner
@compiled
def outer(record):
    return inner(record) * STEP
"""
RUN = """
import inner_of_test, outer_of_test
record = next(each for each in vars(inner_of_test).values() if hasattr(each, "_fields"))
print(outer_of_test.outer(record(1)), sum(outer_of_test.outer.stats.cache_hits.values()))
"""


@pytest.fixture
def run(tmp_path: Path):
    """Writes the inner module, runs the outer one in a process of its own: what it returned, and whether it was kept."""
    (tmp_path / "outer_of_test.py").write_text(OUTER)

    def run(step: int = 10, added: int = 1, record: str = "Record") -> tuple[int, bool]:
        (tmp_path / "inner_of_test.py").write_text(INNER.format(step=step, added=added, record=record))
        root = Path(importlib.import_module("models").__file__ or "").parents[1]
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            env={
                "PYTHONPATH": f"{tmp_path}:{root}",
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "PYTHONDONTWRITEBYTECODE": "1",  # Python takes a source of the same size and second for the same
            },
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        returned, kept = done.stdout.split()
        return int(returned), kept == "1"

    return run


def test_what_was_compiled_is_used_again_and_made_anew_when_another_file_or_constant_or_class_changes(run) -> None:
    assert run() == (20, False)
    assert run() == (20, True)
    assert run(added=2) == (30, False), "a function of another file"
    assert run(step=100) == (200, False), "a constant of another file"
    assert run(record="Renamed") == (20, False), "a class in the signature; Numba would fail to read what it kept"
    assert run() == (20, True), "nothing was lost"


def test_a_second_checkout_uses_what_the_first_one_compiled(run, tmp_path: Path) -> None:
    assert run() == (20, False)
    for path in tmp_path.glob("*.py"):
        path.touch()  # as checked out later

    assert run() == (20, True)


def test_the_digest_follows_the_fields_of_an_argument_and_the_values_of_arrays_that_other_files_define() -> None:
    names: dict[str, object] = {
        "Pair": namedtuple("Pair", "a b"),
        "TABLE": np.array([1.0, 2.0]),
        "ONE": np.float32(1.0),
    }

    def made(**changed: object) -> str:
        return source_digest(FunctionType((lambda pair: pair.a + TABLE[0] + ONE).__code__, names | changed))  # noqa: F821

    assert made() == made()
    others = {"Pair": namedtuple("Pair", "b a")}, {"TABLE": np.array([1.0, 3.0])}, {"ONE": np.float32(2.0)}
    assert len({made(), *(made(**other) for other in others)}) == 4


def test_functions_of_one_source_have_one_digest() -> None:
    def one() -> int:
        return 1

    assert source_digest(one) == source_digest(one)
    assert len(source_digest(one)) == 16

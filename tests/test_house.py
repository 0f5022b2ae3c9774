"""The house: a test lies where its module lies, a room says what it is for, and one thing has one name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from places import ROOT, TESTS

PYTHON = sorted(p for top in ("stream", "models") for p in (ROOT / top).rglob("*.py"))
ROOMS = sorted(p for p in PYTHON if p.name == "__init__.py")
MIRRORED = sorted(p for top in ("stream", "models") for p in (TESTS / top).rglob("test_*.py"))

RENAMED = {
    "AsIf": "WhatIf",
    "World": "RankingInputs",
    "Asked": "Question",
    "asked_of": "ranking_question",
    "Telling": "SentenceContext",
    "Listed": "ListHeader",
    "Replayed": "ReplayedWorker",
    "Choosing": "ChoiceSampler",
    "is_told": "concerns_lists",
    "goes_out": "is_published",
    "Columns": "StateColumns or LedgerColumns",
    "Items": "ItemArrays, SequenceItems or ItemScores",
    "Pairs": "CoOccurrences, EngagedPairs or ShownPairs",
    "attribute": "contributions_of",
}
"""Names that were given up, see the glossary: one word a thing."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("test", MIRRORED, ids=relative)
def test_a_test_file_lies_where_its_module_lies(test: Path) -> None:
    tested = ROOT / test.relative_to(TESTS).with_name(test.name.removeprefix("test_"))
    assert tested.exists() or tested.with_suffix("").is_dir(), f"there is no {relative(tested)}"


def test_no_test_imports_another() -> None:
    found = [relative(p) for p in TESTS.rglob("*.py") if re.search(r"^\s*(from|import) test_", p.read_text(), re.M)]
    assert found == [], "what several share lies in tests/support"


@pytest.mark.parametrize("room", ROOMS, ids=relative)
def test_a_room_says_in_a_sentence_what_it_is_for_and_what_it_must_not_know(room: Path) -> None:
    said = ast.get_docstring(ast.parse(room.read_text(encoding="utf-8"))) or ""
    first, _, rest = said.partition("\n\n")
    assert re.fullmatch(r"\S.*[.?]", first, re.DOTALL), said
    assert room.parent.parent == ROOT or re.search(r"\b(not|never|no|nothing|neither|only)\b", f"{first} {rest}", re.I)


def test_nothing_goes_by_a_name_that_was_given_up() -> None:
    found = [
        f"{relative(path)}:{node.lineno}: {node.name}, which is {RENAMED[node.name]} now"
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name in RENAMED
    ]
    assert found == []


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [relative(p) for p in PYTHON if p.stem in {"utils", "helpers", "common", "misc"}] == []

"""The documentation names what there is: topics, reasons, pages, files, commands. What follows from the code is not stale."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import DOCS, ROOT

import stream
from stream.kafka.specs import topic_specs
from stream.schemas import NAMES
from stream.settings import load_settings
from stream.wire.decode import LETTER_REASONS

PAGES = sorted(DOCS.rglob("*.md"))
PROSE = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *PAGES]
MKDOCS = ROOT / "deploy" / "mkdocs.yml"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Without blocks of code."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The ids that the site gives to the headings of a page."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return found


def links(page: Path) -> Iterator[tuple[str, str]]:
    """`(file, anchor)` of every link and picture of a page that leads to no other host."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if not re.match(r"\w+:", target):
            file, _, anchor = target.partition("#")
            yield file, anchor


# --- what must be named -----------------------------------------------------------------------------------------------


def test_every_topic_is_in_the_docs() -> None:
    page = text_of(DOCS / "topics.md")
    assert [spec.name for spec in topic_specs(load_settings()) if f"`{spec.name}`" not in page] == []


def test_the_docs_name_every_reason_for_a_dead_letter() -> None:
    table = text_of(DOCS / "topics.md").partition("## Bad input")[2]
    assert [reason for reason in LETTER_REASONS if f"`{reason}`" not in table] == []


def test_the_docs_name_every_schema() -> None:
    page = text_of(DOCS / "topics.md")
    assert [each for each in NAMES if f"`stream/schemas/{each}.json`" not in page] == []


def test_the_guarantees_and_the_order_of_a_commit_are_in_the_docs() -> None:
    table = text_of(DOCS / "concepts.md").partition("## What is guaranteed")[2]
    for fault in ("kill -9", "disk is lost", "SIGTERM", "joins or leaves", "broker restarts", "A bug"):
        assert fault in table
    steps = text_of(DOCS / "architecture.md").partition("## The commit")[2]
    places = [steps.index(step) for step in ("snapshot", "Outputs", "transaction", "RocksDB", "source offsets")]
    assert places == sorted(places)


# --- what follows from the code ---------------------------------------------------------------------------------------


def test_the_pages_made_from_the_code_are_those_of_today() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_page_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    spec = spec_from_file_location("reference", ROOT / "deploy" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.main(["--check"]) == 0
    monkeypatch.setattr(reference, "COMMANDS_HEAD", "# Another title\n")

    assert reference.main(["--check"]) == 1
    assert capsys.readouterr().err == "deploy/docs: commands.md out of date; run make reference\n"


def test_every_room_has_its_row_in_the_architecture() -> None:
    page = text_of(DOCS / "architecture.md")
    for package in ("stream", "models"):
        table = page.partition(f"<!-- rooms of {package}: begin")[2].partition("<!-- rooms of")[0]
        for init in (ROOT / package).glob("*/__init__.py"):
            row = re.search(rf"^\| `{init.parent.name}/` \| (.+?) \| (.*?) \|$", table, re.MULTILINE)
            assert row, f"{package}/{init.parent.name}"
            assert all(row.groups()), f"{package}/{init.parent.name} does not say what it is for, or what it must not"


def test_every_command_of_penchant_that_the_prose_names_is_one() -> None:
    known = set(re.findall(r"^## `penchant ([\w-]+)", text_of(DOCS / "commands.md"), re.MULTILINE))
    assert {"demo", "worker", "topics", "replay"} <= known
    for page in PROSE:
        named = set(re.findall(r"`penchant ([a-z][a-z-]*)[ `]|^ *penchant ([a-z][a-z-]*)", text_of(page), re.MULTILINE))
        unknown = {first or second for first, second in named} - known
        assert not unknown, f"{name(page)}: {unknown}"


def test_every_target_of_make_that_the_prose_names_is_one_and_every_one_is_in_its_help() -> None:
    makefile = text_of(ROOT / "Makefile")
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    for page in PROSE:
        named = set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text_of(page), re.MULTILINE))
        assert {first or second for first, second in named} <= phony, name(page)


# --- pages, links, files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_to_a_page_and_a_heading(page: Path) -> None:
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), f"{name(page)}: {file}"
        assert target.is_relative_to(DOCS), f"{name(page)}: {file} is not part of the site"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {file}#{anchor}"


def test_pictures_come_from_no_other_host() -> None:
    assert [name(page) for page in PAGES if re.search(r"!\[[^\]]*\]\(\w+:", text_of(page))] == []


def test_every_page_is_in_the_navigation_once() -> None:
    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values() if isinstance(entry, dict) else entry:
                yield from files(below)

    listed = list(files(yaml.safe_load(text_of(MKDOCS))["nav"]))
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_the_site_uses_no_font_of_another_host() -> None:
    settings = yaml.safe_load(text_of(MKDOCS))
    assert settings["theme"]["font"] is False
    assert "repo_url" not in settings, "the theme would ask the repository's host for its number of stars"
    assert not any("//" in each for each in settings["extra_css"])


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_every_file_of_the_repository_that_the_prose_names_is_there(page: Path) -> None:
    tops = r"(?:stream|models|deploy|benchmarks|tests|\.github)"
    named = set(re.findall(rf"`({tops}/[\w./-]*)`", text_of(page)))
    missing = {path for path in named if "/CODE." not in path and not (ROOT / path).exists()}
    assert missing == set(), name(page)


def test_every_page_that_the_code_names_is_there() -> None:
    folders = [ROOT / folder for folder in ("stream", "models", "tests", "benchmarks", "deploy")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".toml", ".json"}]
    named = {page for path in files for page in re.findall(r"deploy/docs/([\w/-]+\.md)", text_of(path))}
    assert named
    assert [page for page in sorted(named) if not (DOCS / page).is_file()] == []


# --- decisions and releases -------------------------------------------------------------------------------------------


def test_decisions_are_numbered_without_a_gap_and_each_says_the_same_four_things() -> None:
    decisions = sorted((DOCS / "decisions").glob("0*.md"))
    assert [path.name[:4] for path in decisions] == [f"{n:04d}" for n in range(1, len(decisions) + 1)]
    overview = text_of(DOCS / "decisions" / "index.md")
    for path in decisions:
        text = text_of(path)
        assert text.startswith(f"# {path.name[:4]}: ")
        assert [part for part in ("**Status.** ", "## Context", "## Choice", "## Cost") if part not in text] == []
        assert f"({path.name})" in overview


def test_one_version_is_stated_everywhere_and_the_changelog_has_it() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert released[0] == project["version"] == stream.__version__
    assert text_of(ROOT / "CHANGELOG.md").count("## [Unreleased]") == 1

"""The runbook: a page for every alert, an alert for every page, and each was tried or says why not."""

from __future__ import annotations

import re

import pytest
import yaml
from places import DOCS, ROOT
from prometheus_process import RULE_FILES, RULES

RUNBOOK = DOCS / "runbook"
PAGES = sorted(path for path in RUNBOOK.glob("*.md") if path.name != "index.md")


def alerts() -> set[str]:
    files = [yaml.safe_load((RULES / name).read_text()) for name in RULE_FILES]
    return {rule["alert"] for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule}


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert {page.stem for page in PAGES} == alerts()


def test_every_page_is_in_the_navigation_and_in_the_index() -> None:
    nav, index = (ROOT / "deploy" / "mkdocs.yml").read_text(), (RUNBOOK / "index.md").read_text()
    for page in PAGES:
        assert f"runbook/{page.name}" in nav
        assert f"[{page.stem}]({page.name})" in index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_what_to_look_at_what_to_do_and_what_was_seen(page) -> None:
    text = page.read_text()
    headings = re.findall(r"^#+ [A-Z].*", text, re.M)
    assert headings == [f"# {page.stem}", "## Look at", "## Do", "## Tried"]
    tried = text.partition("## Tried")[2]
    was_seen = re.search(r"fault: .*firing\n.*remedy: .*inactive\n", tried, re.DOTALL)
    assert was_seen or tried.strip().startswith("Not tried"), "neither a transcript nor why there is none"

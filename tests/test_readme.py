"""What the README tells people to type works, and what it links to is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from places import DOCS, ROOT
from worker_process import WorkerProcess

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.settings import load_settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES = 120


def programs(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_first_event_of_the_readme_gets_its_recommendations(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], tmp_path: Path
) -> None:
    (program,) = programs(README)
    broker = embedded({spec.name: 2 for spec in topic_specs(load_settings())})
    settings = load_settings(bootstrap_servers=broker.bootstrap_servers, data_dir=tmp_path / "unused")
    with WorkerProcess(settings, tmp_path / "w") as worker:
        worker.wait_for("the worker to be up", lambda: bool(worker.metrics()))
        done = subprocess.run(
            [sys.executable, "-c", program.replace("127.0.0.1:9092", broker.bootstrap_servers)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lists = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert set(lists) == {"ann", "bob"}
    assert "tray" in lists["ann"]
    assert "cup" not in lists["ann"], "she has bought it"


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "start.md"], ids=lambda path: path.name)
def test_the_first_event_is_shown_as_it_lies_in_the_examples(page: Path) -> None:
    example = (ROOT / "deploy" / "examples" / "first_event.py").read_text(encoding="utf-8")

    assert programs(page.read_text(encoding="utf-8")) == [example]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES

"""The readers of a record of reasons in the documentation, run as they stand there: one entry per item, as before 0.3."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import DOCS, GOLDEN

from stream.wire.reasons import Reasons, item_places, item_reasons
from stream.wire.records import read_attribution

RECORD = (GOLDEN / "attribution-reasons-v2.json").read_bytes()


def block(language: str) -> str:
    """The one block of that language in the page."""
    page = (DOCS / "explanations.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(found)


def expected() -> list[dict[str, Any]]:
    record = read_attribution(RECORD)
    assert isinstance(record, Reasons)
    return [
        {
            "recommendation_id": why.recommendation_id,
            "item_id": why.item_id,
            "rank": why.rank,
            "score": why.score,
            "strategy": place.strategy,
            "propensity": place.propensity,
            "contributions": [
                {"item_id": c.item_id, "action": c.action, "event_time": c.event_time, "contribution": c.contribution}
                for c in why.contributions
            ],
            "others": why.others,
            "explanation": dict(why.sentences),
        }
        for why, place in zip(item_reasons(record), item_places(record), strict=True)
    ]


def test_the_reader_in_python_makes_one_entry_per_item() -> None:
    names: dict[str, Callable[[Any], Any]] = {}
    exec(block("python"), names)

    assert names["by_item"](json.loads(RECORD)) == expected()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_reader_in_javascript_makes_the_same(tmp_path: Path) -> None:
    (tmp_path / "by_item.mjs").write_text(block("js"), encoding="utf-8")
    script = 'import{byItem}from"./by_item.mjs";import{readFileSync}from"fs";'
    script += 'console.log(JSON.stringify(byItem(JSON.parse(readFileSync(0,"utf8")))))'

    ran = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        input=RECORD,
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr.decode()
    assert json.loads(ran.stdout) == expected()

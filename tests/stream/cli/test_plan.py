"""`penchant plan`: a table or JSON, with what it takes for granted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli.main import app

SHOP = ("plan", "--events-per-s", "2000", "--users", "5000000", "--items", "200000")


def test_it_says_how_many_of_each_and_what_it_takes_for_granted() -> None:
    done = CliRunner().invoke(app, [*SHOP, "--requests-per-s", "500"])
    assert done.exit_code == 0, done.output
    for word in (
        "workers",
        "serve processes",
        "brokers",
        "Partitions of the events topic",
        "Taken for granted",
        "not measured",
    ):
        assert word in done.output


def test_json_has_demand_and_plan() -> None:
    done = CliRunner().invoke(app, [*SHOP, "--json"])
    found = json.loads(done.stdout)
    assert found["events_per_s"] == 2000
    assert found["plan"]["workers"] >= 2
    assert found["plan"]["serve_processes"] == 0


def test_slower_cores_need_more_workers() -> None:
    workers = [
        json.loads(CliRunner().invoke(app, [*SHOP, "--json", "--cpu-factor", factor]).stdout)["plan"]["workers"]
        for factor in ("1", "3")
    ]
    assert workers[1] > workers[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--costs", "/nowhere.json"), "/nowhere.json cannot be read: No such file"),
        (("--costs", __file__), "is no table of costs"),
        (("--utilisation", "0"), "--utilisation"),
        (("--events-per-s", "-1"), "--events-per-s"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(arguments: tuple[str, str], told: str) -> None:
    done = CliRunner().invoke(app, [*SHOP, *arguments])
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


def test_a_table_of_ones_own_counts(tmp_path: Path) -> None:
    from stream.analysis.capacity import costs  # noqa: PLC0415

    table = tmp_path / "mine.json"
    table.write_bytes(
        (Path(costs.__file__).parent / costs.FILE).read_bytes().replace(b'"machine": "', b'"machine": "mine, ')
    )
    done = CliRunner().invoke(app, [*SHOP, "--costs", str(table)])
    assert "mine, " in done.output

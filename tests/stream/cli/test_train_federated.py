"""`penchant train federated`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from federated_shops import write_shop
from typer.testing import CliRunner

from models.ranking.weights import from_json
from stream.cli.main import app

HAS_FLOWER = find_spec("flwr") is not None


@pytest.fixture(autouse=True)
def shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")
    monkeypatch.setenv("COLUMNS", "160")
    for seed, name in enumerate(("leeds", "york")):
        write_shop(Path(f"{name}.csv"), seed)


def penchant(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["train", "federated", *arguments], prog_name="penchant")


@pytest.mark.skipif(HAS_FLOWER, reason="Flower is installed here")
def test_without_flower_one_line_names_the_extra() -> None:
    result = penchant("leeds.csv", "york.csv", "--out", "w.json")

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "flwr" in line
    assert "penchant[federated]" in line


@pytest.mark.skipif(not HAS_FLOWER, reason="needs the extra federated: make federated")
def test_shops_learn_weights_together_and_each_is_judged() -> None:
    arguments = ("leeds.csv", "york.csv", "--out", "w.json", "--report", "r.json", "--rounds", "2", "--min-gain", "-1")
    result = penchant(*arguments)

    assert result.exit_code == 0, result.output
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert from_json(Path("w.json").read_bytes()).version == report["version"]
    assert set(report["shops"]) == {"leeds", "york"}
    assert report["refused"] == {}
    assert report["bytes"] > 0
    assert "leeds" in result.stdout
    Path("w.json").unlink()
    worse = penchant(*arguments[:-1], "1")
    assert worse.exit_code == 1
    assert "not better on the newest events" in worse.stderr
    assert not Path("w.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["leeds.csv", "--out", "w.json"], "A federation has two shops at least."),
        (["leeds.csv", "leeds.csv", "--out", "w.json"], "Two files are called 'leeds'"),
        (["leeds.csv", "york.csv", "--out", "nowhere/w.json"], "nowhere"),
        (["leeds.csv", "--app", "a", "--out", "w.json"], "--app is for shops in other places"),
        (["--app", "leeds.csv/a", "--out", "w.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line_with_a_fix_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = penchant(*arguments)

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line
    assert "Fix: " in line


@pytest.mark.skipif(not HAS_FLOWER, reason="needs the extra federated: make federated")
def test_a_shop_with_too_little_is_named() -> None:
    write_shop(Path("hull.csv"), 3, people=2)
    result = penchant("leeds.csv", "hull.csv", "--out", "w.json")

    assert result.exit_code == 2
    assert "There is too little to learn from in hull.csv" in result.stderr


def test_an_app_is_written_without_flower() -> None:
    result = penchant("--app", "federation", "--clients", "3", "--out", "w.json")

    assert result.exit_code == 0, result.output
    assert Path("federation/pyproject.toml").exists()
    assert "flwr run federation" in result.stdout

"""`penchant train weights`: files in, weights out if they are better, one line and exit code 2 for what a person can mend"""

from __future__ import annotations

import json

import pytest
from shop_of_topics import write_shop
from typer.testing import CliRunner

from models.ranking.weights import default_weights, from_json, named, to_json
from stream.cli.main import app


def run(*arguments, path):
    runner = CliRunner(env={"PENCHANT_DATA_DIR": str(path / "data"), "PENCHANT_ENCODER_MODEL": "none"})
    return runner.invoke(app, ["train", "weights", *map(str, arguments)])


def test_better_weights_are_written_with_their_figures_and_can_be_read_back(tmp_path):
    items, events = write_shop(tmp_path, users=160, each=6)
    bad = tmp_path / "bad.json"
    bad.write_bytes(to_json(named({"always": {"popularity": -1.0}}, {"popularity": 1.0})))
    out, report = tmp_path / "weights.json", tmp_path / "report.json"
    result = run(events, "--items", items, "--out", out, "--champion", bad, "--report", report, path=tmp_path)
    assert result.exit_code == 0, result.output
    weights = from_json(out.read_bytes())
    told = json.loads(report.read_text())
    assert told["kept"]
    assert told["version"] == weights.version
    assert told["challenger"]["ndcg@10"] > told["champion"]["ndcg@10"]
    assert weights.version in result.output


def test_weights_that_are_no_better_are_not_written(tmp_path):
    items, events = write_shop(tmp_path, users=160, each=6)
    out = tmp_path / "weights.json"
    result = run(events, "--items", items, "--out", out, "--min-gain", "1", path=tmp_path)
    assert result.exit_code == 1
    assert "not kept" in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "What to learn from?"),
        (["nothing.jsonl"], "nothing.jsonl"),
        (["few.jsonl"], "too little to learn from"),
        (["events.jsonl", "--parts", "magic"], "no part 'magic'"),
        (["events.jsonl", "--champion", "events.jsonl"], "ranking weights"),
        (["events.jsonl", "--every", "1"], "--every"),
        (["--from-topic", "--items", "items.jsonl"], "--items is for files"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_code_2(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_shop(tmp_path, users=40)
    write_shop(tmp_path, users=2, each=2, name="few")
    result = run(*arguments, "--out", tmp_path / "out.json", path=tmp_path)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_the_built_in_weights_are_those_of_this_release():
    assert from_json(to_json(default_weights())).version == default_weights().version

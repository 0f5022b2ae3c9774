"""`penchant evaluate attribution`: the same twice, ours better than chance, and what is wrong is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES
from stream.cli import app
from stream.evaluate_attribution_cli import attribution
from stream.evaluation_attribution import EXPLAINERS

SHARES = ("comprehensiveness@1", "comprehensiveness@3")


@pytest.fixture(autouse=True)
def _clean_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def write_events(users: int = 40, seed: int = 0) -> str:
    """Everybody takes the items of two of five series, mixed."""
    rng = np.random.default_rng(seed)
    lines = ["user_id,item_id,action,event_time"]
    for user in range(users):
        series = rng.permutation(5)[:2]
        for n, k in enumerate(rng.permutation(16)[:12].tolist()):
            lines.append(f"u{user},s{series[k % 2]}-{k // 2},click,{1_600_000_000 + 4000 * user + 60 * n}")
    Path("events.csv").write_text("\n".join(lines) + "\n")
    return "events.csv"


def judge(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["evaluate", "attribution", *arguments])
    assert result.exit_code == 0, result.output
    return result


def report_of(*arguments: str) -> Any:
    judge(*arguments, "--json", "report.json")
    return json.loads(Path("report.json").read_text())


def test_the_report_has_every_figure_and_ours_are_better_than_chance() -> None:
    report = report_of(write_events(), "--warm-up", "0.5", "--questions", "40")

    assert report["completeness_gap_max"] < 1e-9
    assert report["stable"] == 1.0
    assert list(report["explainers"]) == list(EXPLAINERS)
    assert all(set(MEASURES) <= set(each) for each in report["explainers"].values())
    ours, chance = report["explainers"]["penchant"], report["explainers"]["random"]
    for name in MEASURES:
        better = ours[name] < chance[name] if name in LOWER_IS_BETTER else ours[name] > chance[name]
        assert better, name
    assert report["better_than"]["random"]["deletion_auc"][0] > 0
    assert 0 < report["counterfactual"]["success"] <= 1
    assert report["counterfactual"]["size_mean"] >= 1


def test_the_same_seed_gives_the_same_figures_and_another_other_questions() -> None:
    events = write_events()
    one, again, other = (
        report_of(events, "--warm-up", "0.5", "--questions", "10", "--seed", seed) for seed in ("0", "0", "1")
    )

    assert one["explainers"] == again["explainers"]
    assert one["explainers"] != other["explainers"]


def test_shares_that_are_wrong_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    events = write_events()
    right = report_of(events, "--warm-up", "0.5", "--questions", "20")
    import stream.evaluation_attribution as judging  # noqa: PLC0415

    rank = judging.AsIf.rank

    def reversed_shares(self: Any, removed: Any = None) -> Any:
        ranked = rank(self, removed)
        return ranked._replace(contributions=0.9 * ranked.contributions[:, :, ::-1])

    monkeypatch.setattr(judging.AsIf, "rank", reversed_shares)
    wrong = report_of(events, "--warm-up", "0.5", "--questions", "20")

    assert wrong["completeness_gap_max"] > 0.01 > right["completeness_gap_max"]
    assert all(wrong["explainers"]["penchant"][name] < right["explainers"]["penchant"][name] for name in SHARES)


def test_the_table_is_shown_and_the_help_names_each_option_in_80_columns() -> None:
    shown = judge(write_events(), "--warm-up", "0.5", "--questions", "5").stdout
    assert all(name in shown for name in EXPLAINERS)
    result = CliRunner().invoke(app, ["evaluate", "attribution", "--help"])
    assert "penchant evaluate attribution" in result.output.partition("Examples:")[2]
    assert "Next: " in result.output
    assert all(option in result.output for parameter in get_command(attribution).params for option in parameter.opts)
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_nobody_with_enough_history_is_one_line_and_exit_code_2() -> None:
    Path("events.csv").write_text("user_id,item_id,action,event_time\nu,a,click,1600000000\nu,b,click,1600000001\n")
    result = CliRunner().invoke(app, ["evaluate", "attribution", "events.csv"])

    assert result.exit_code == 2
    assert "No question is left" in result.stderr

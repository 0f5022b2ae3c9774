"""`penchant evaluate reasons`: the same twice, ours better than chance, and what is wrong is noticed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sequence_models import SHAPE, random_items, random_weights, reference
from typer.main import get_command
from typer.testing import CliRunner

from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES
from models.ranking.features import SEQUENCE
from models.ranking.weights import default_weights, make_weights, to_json
from models.sequence.export import Trained, export
from models.sequence.model import SequenceModel
from stream.analysis.reasons import judge as judging
from stream.analysis.reasons.judge import EXPLAINERS, WITH_SEQUENCE
from stream.analysis.reasons.page import page
from stream.cli import evaluate_reasons
from stream.cli.main import app

SHARES = ("comprehensiveness@1", "comprehensiveness@3")


@pytest.fixture(autouse=True)
def _no_encoder(clean_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")


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
    result = CliRunner().invoke(app, ["evaluate", "reasons", *arguments])
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

    rank = judging.WhatIf.rank

    def reversed_shares(self: Any, removed: Any = None) -> Any:
        ranked = rank(self, removed)
        return ranked._replace(contributions=0.9 * ranked.contributions[:, :, ::-1])

    monkeypatch.setattr(judging.WhatIf, "rank", reversed_shares)
    wrong = report_of(events, "--warm-up", "0.5", "--questions", "20")

    assert wrong["completeness_gap_max"] > 0.01 > right["completeness_gap_max"]
    assert all(wrong["explainers"]["penchant"][name] < right["explainers"]["penchant"][name] for name in SHARES)


def test_the_table_is_shown_and_the_help_names_each_option_in_80_columns() -> None:
    shown = judge(write_events(), "--warm-up", "0.5", "--questions", "5").stdout
    assert all(name in shown for name in EXPLAINERS)
    result = CliRunner().invoke(app, ["evaluate", "reasons", "--help"])
    assert "penchant evaluate reasons" in result.output.partition("Examples:")[2]
    assert "Next: " in result.output
    assert all(
        option in result.output for parameter in get_command(evaluate_reasons.app).params for option in parameter.opts
    )
    assert all(len(line) <= 80 for line in result.output.splitlines())


@pytest.mark.parametrize("name", ["reasons", "attribution"])  # the second is its old name
def test_nobody_with_enough_history_is_one_line_and_exit_code_2(name: str) -> None:
    Path("events.csv").write_text("user_id,item_id,action,event_time\nu,a,click,1600000000\nu,b,click,1600000001\n")
    result = CliRunner().invoke(app, ["evaluate", name, "events.csv"])

    assert result.exit_code == 2
    assert "No question is left" in result.stderr


def test_the_page_is_one_file_with_every_plot_in_it_and_obeys_no_name() -> None:
    report = report_of(write_events(), "--warm-up", "0.5", "--questions", "5", "--html", "page.html")

    html = Path("page.html").read_text(encoding="utf-8")
    titles = re.findall("<h2>([^<:]*)", html)
    for title in ("Deletion", "Insertion", "Comprehensiveness", "Sufficiency", "Completeness gap", "Counterfactuals"):
        assert title in titles
    assert html.count("data:image/png;base64,") == 6
    assert all(name in html for name in EXPLAINERS)
    assert set(re.findall(r'(?:src|href)="([^"]{5})', html)) == {"data:"}
    hostile = report | {"command": "<script>", "weights": "<script>"}
    assert "<script" not in page(hostile, {"<script>": b"png"})


def test_a_page_without_matplotlib_is_one_line_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.cli.outputs.find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["evaluate", "reasons", write_events(), "--html", "page.html"])

    assert result.exit_code == 2
    assert "matplotlib" in result.stderr
    assert "first engagements" not in result.stderr


def test_stability_sizes_and_decades_are_counted() -> None:
    report = report_of(write_events(), "--warm-up", "0.5", "--questions", "20")

    assert report["stability"]["repeated"] == report["stable"] == 1.0
    for name in ("without_unrelated", "without_any"):
        found = report["stability"][name]
        assert 0.5 < found["rank_correlation"] <= 1.0
        assert found["rank_correlation_p05"] <= found["rank_correlation"]
        assert 0.5 < found["same_first_3"] <= 1.0
    sizes = report["counterfactual"]["sizes"]
    assert sum(sizes.values()) == round(report["counterfactual"]["success"] * report["questions"])
    assert sum(report["completeness_gap_decades"].values()) == report["questions"]
    assert report["sequence"] is None
    assert report["audits"] == {}


def test_audits_compare_with_shapley_values_and_with_integrated_gradients() -> None:
    arguments = (write_events(), "--warm-up", "0.5", "--questions", "6", "--audit", "shapley")
    one = report_of(*arguments, "--audit", "integrated_gradients", "--samples", "80")
    again = report_of(*arguments, "--samples", "80")

    shapley, gradients = one["audits"]["shapley"], one["audits"]["integrated_gradients"]
    assert again["audits"] == {"shapley": shapley}
    assert (shapley["samples"], shapley["questions"]) == (80, one["questions"])
    assert shapley["completeness_gap_max"] < 1e-9
    assert shapley["standard_error"] > 0
    assert shapley["against"]["penchant"]["rank_correlation"] > 0.4
    assert set(shapley["against"]) == {"penchant", "leave_one_out"}
    assert gradients["against"]["penchant"]["mean_absolute_difference"] < 1e-6
    assert gradients["completeness_gap_max"] < 1e-6
    shown = judge(*arguments, "--samples", "2").stdout
    assert "Shapley against penchant: rank correlation" in shown


def test_a_sequence_model_takes_part_and_what_it_leaves_over_is_named(tmp_path: Path) -> None:
    ids = [f"s{series}-{n}" for series in range(5) for n in range(8)]
    items = random_items()._replace(
        ids=ids,
        vectors=np.random.default_rng(5).normal(size=(len(ids), SHAPE.dims)).astype(np.float32),
        biases=np.zeros(len(ids), np.float32),
    )
    weights = random_weights()
    trained = Trained(SHAPE, weights, items, "texts@1", 1_600_000_000_000, {})
    export(trained, tmp_path / "model", ("numpy", reference(weights, SHAPE, items.vectors)))
    weighted = default_weights()
    table = weighted.table.copy()
    table[0, SEQUENCE] = 1.0
    Path("weights.json").write_bytes(to_json(make_weights(table, weighted.cold, weighted.calibration)))
    arguments = (write_events(), "--warm-up", "0.5", "--questions", "6", "--weights", "weights.json")

    report = report_of(*arguments, "--sequence-model", str(tmp_path / "model"), "--audit", "shapley", "--samples", "4")

    assert list(report["explainers"]) == [*EXPLAINERS, *WITH_SEQUENCE]
    assert report["sequence_model"] == SequenceModel.open(tmp_path / "model").model_version
    found = report["sequence"]
    assert found["is_additive"] is False
    assert 0 < found["questions"] <= report["questions"]
    assert found["residual_mean"] > 0
    audit = report["audits"]["shapley_of_sequence"]
    assert audit["completeness_gap_max"] < 1e-3
    assert set(audit["against"]) == {"sequence_leave_one_out"}
    shown = judge(*arguments, "--sequence-model", str(tmp_path / "model")).stdout
    assert "does not add up" in shown


def test_a_directory_without_a_sequence_model_is_one_line_and_exit_code_2() -> None:
    result = CliRunner().invoke(app, ["evaluate", "reasons", write_events(), "--sequence-model", "nowhere"])

    assert result.exit_code == 2
    assert "nowhere" in result.stderr

"""`penchant evaluate leave-one-out`: both query times in one run, and what makes no sense in one line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from models.training.sequence import last_items as training
from stream.cli.main import app

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the extra train is not there")
ITEMS = 12
FIGURES = ("hr@10", "hr@20", "ndcg@10", "ndcg@20", "mrr")


@pytest.fixture(autouse=True)
def _no_encoder(clean_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")


def write_events(users: int = 80, each: int = 7, *, name: str = "events.csv") -> str:
    """Around a ring of items: one step after a minute, halfway round after a day."""
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,action,event_time"]
    for user in range(users):
        item, at = int(rng.integers(ITEMS)), 1_600_000_000 + 1_000_000 * user
        for _ in range(each):
            lines.append(f"u{user},i{item},click,{at}")
            slow = rng.random() < 0.5
            item, at = (item + (ITEMS // 2 if slow else 1)) % ITEMS, at + (86_400 if slow else 60)
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def command(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["evaluate", "leave-one-out", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def report_of(*arguments: str) -> Any:
    result = command(*arguments, "--json", "report.json")
    assert result.exit_code == 0, result.output
    return json.loads(Path("report.json").read_text())


def test_every_figure_is_there_with_an_interval_and_a_paired_difference() -> None:
    report = report_of(write_events(), "--models", "popularity,co_occurrence_tuned,item_cf")

    assert [row["model"] for row in report["models"]] == ["popularity", "co_occurrence_tuned", "item_cf"]
    assert (report["questions"], report["items"], report["ties"]) == (80, ITEMS, "file")
    for row in report["models"]:
        assert row["query_time"] == "not read"
        for metric in FIGURES:
            low, high = row["intervals"][metric]
            assert low <= row[metric] <= high
    popularity, tuned, _ = report["models"]
    assert tuned["minus_co_occurrence_tuned"] is None
    paired = popularity["minus_co_occurrence_tuned"]["ndcg@10"]
    assert paired["mean"] == pytest.approx(popularity["ndcg@10"] - tuned["ndcg@10"])
    assert paired["interval"][1] < 0
    again = report_of("events.csv", "--models", "popularity,co_occurrence_tuned,item_cf")
    assert [row["intervals"] for row in again["models"]] == [row["intervals"] for row in report["models"]]


@needs_torch
@pytest.mark.parametrize("kind", ["sasrec", "hstu", "lru"])
def test_both_query_times_are_in_one_report_and_who_knows_it_gains_where_it_decides(kind: str) -> None:
    result = command(write_events(users=200), "--models", kind, "--epochs", "12", "--json", "report.json")

    assert result.exit_code == 0, result.output
    known, not_known = json.loads(Path("report.json").read_text())["models"]
    assert (known["query_time"], not_known["query_time"]) == ("known", "not known")
    worth = known["minus_query_time_not_known"]["ndcg@10"]
    assert worth["mean"] == pytest.approx(known["ndcg@10"] - not_known["ndcg@10"])
    assert worth["interval"][0] > 0
    assert f"What {kind} gains by knowing when is asked" in result.stdout


def test_without_torch_the_sequence_model_is_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda _: None)
    report = report_of(write_events())
    assert [row["model"] for row in report["models"]] == ["popularity", "co_occurrence_tuned"]
    assert "torch" in report["skipped"]["sasrec"]
    alone = command("events.csv", "--models", "sasrec,hstu,lru")
    assert (alone.exit_code, "No model could take part" in alone.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.csv",), "none.csv"),
        (("short.csv",), "No user has had 3 items"),
        (("events.csv", "--models", "sasrec,oracle"), "there is no model 'oracle' here"),
        (("events.csv", "--models", "recency_popularity"), "choose from popularity,"),
        (("events.csv", "--json", "nowhere/report.json"), "nowhere"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    write_events(users=5)
    write_events(users=5, each=2, name="short.csv")
    result = command(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert sum("Fix:" in line for line in result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--ties", "chance"), ("--epochs", "0"), ("--loss", "hinge")])
def test_a_value_that_there_is_not_is_named(arguments: tuple[str, ...]) -> None:
    assert command(write_events(users=5), *arguments).exit_code == 2


def test_one_user_and_one_time_are_enough() -> None:
    rows = "".join(f"u,i{n},click,1600000000\n" for n in range(4))
    Path("one.csv").write_text(f"user_id,item_id,action,event_time\n{rows}")
    report = report_of("one.csv", "--epochs", "2")
    assert report["questions"] == 1
    assert len(report["models"]) >= 2

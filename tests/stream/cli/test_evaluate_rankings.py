"""`penchant evaluate rankings`: the same numbers however behaviour is written, bad files, resuming, the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from typer.testing import CliRunner

from models.evaluation.verdict import JUDGED
from stream.analysis.data import Rows, shuffle_minutes
from stream.analysis.rankings import run as evaluation_run
from stream.analysis.rankings.page import page as render
from stream.cli.main import app

MODELS = ("--models", "popularity,co_occurrence_plain,co_occurrence_tuned")
HEADER = "user_id,item_id,action,event_time"
AS_NAMED = ",".join(f"{name}={name}" for name in HEADER.split(","))


@pytest.fixture(autouse=True)
def _no_encoder(clean_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")


def rows(n=200, users=9, items=15, seed=0):
    rng = np.random.default_rng(seed)
    return [f"u{rng.integers(users)},i{rng.integers(items)},click,{1_600_000_000 + 60 * k}" for k in range(n)]


def write(lines, name="events.csv", header=HEADER):
    Path(name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return name


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", "rankings", *arguments])


def report_of(*arguments, models=MODELS):
    result = evaluate(*arguments, *models, "--json", "report.json")
    assert result.exit_code == 0, result.output
    return json.loads(Path("report.json").read_text(encoding="utf-8"))


def figures(report):
    """All that says how good the models are."""
    models = {
        name: {k: v for k, v in each.items() if k not in ("seconds", "chosen")}
        for name, each in report["models"].items()
    }
    return {"models": models, **{name: report[name] for name in ("verdict", "slices", "differences", "questions")}}


def one_line(result):
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("penchant: ")
    assert "Fix: " in lines[-1]
    assert "Traceback" not in result.output
    return lines[-1]


def test_a_figure_that_one_event_does_not_give_is_null():
    write(["u,i,purchase,1600000000"])
    assert evaluate("events.csv", *MODELS, "--json", "report.json").exit_code == 0

    text = Path("report.json").read_text(encoding="utf-8")
    assert "null" in text
    json.loads(text, parse_constant=pytest.fail)


def test_the_report_has_every_model_slice_difference_and_says_what_it_is_of():
    report = report_of(write(rows()))

    assert list(report["models"]) == ["popularity", "co_occurrence_plain", "co_occurrence_tuned"]
    assert set(report["slices"]["session_start"]) == set(report["models"])
    assert set(report["differences"]["all"]) == {"popularity", "co_occurrence_plain"}
    for each in report["models"].values():
        low, high = each["intervals"]["ndcg@10"]
        assert low <= each["ndcg@10"] <= high
        assert 0 < each["coverage@10"] <= 1
        assert each["weekly_coverage@10"] == each["coverage@10"]  # it is less than a week in all
    assert report["weeks"] == 1
    assert report["data"]["rows"] == 200
    assert report["data"]["questions"] == report["questions"]["all"] > 5
    assert len(report["data"]["sha256"]["events"]) == 64


def test_the_first_table_is_penchant_beside_the_best_baseline_of_each_slice():
    lines = rows(n=900, users=60, items=40)
    models = (
        "--models",
        "penchant_defaults,penchant,popularity,co_occurrence_plain,co_occurrence_tuned",
        "--warm-up",
        "0.5",
    )

    result = evaluate(write(lines), *models, "--json", "report.json", "--html", "page.html")

    assert result.exit_code == 0, result.output
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    verdict = report["verdict"]
    assert verdict["baselines"] == ["popularity", "co_occurrence_plain", "co_occurrence_tuned"]
    assert [row["slice"] for row in verdict["rows"]] == list(JUDGED)
    every = verdict["rows"][0]
    assert every["value"] == report["models"]["penchant"]["ndcg@10"]
    assert every["best_value"] == max(report["models"][name]["ndcg@10"] for name in verdict["baselines"])
    assert every["questions"] == report["questions"]["all"]
    assert every["mark"] != "too few"
    for row in verdict["rows"][1:]:
        assert row["questions"] == report["questions"][row["slice"]]
        if row["questions"]:
            figures_of = report["slices"][row["slice"]]
            assert row["best_value"] == figures_of[row["best"]]["ndcg@10"]
            assert row["value"] == figures_of["penchant"]["ndcg@10"]
    told = result.stdout.splitlines()
    assert told[1].startswith("Penchant and the best baseline of each slice")
    assert [line for line in told if line == verdict["sentence"]]
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.index(verdict["sentence"]) < page.index("<table") < page.index("<td>questions within a session")
    assert page.index("<td>questions within a session") < page.index("sha256")


def test_without_penchant_there_is_no_verdict_and_without_a_baseline_one_line():
    name = write(rows())
    without = evaluate(name, *MODELS, "--html", "page.html", "--json", "without.json")
    alone = evaluate(name, "--models", "penchant", "--html", "alone.html", "--json", "alone.json")

    assert json.loads(Path("without.json").read_text())["verdict"] is None
    assert "best baseline" not in without.stdout + Path("page.html").read_text()
    assert alone.exit_code == 0, alone.output
    said = "No baseline took part, so there is nothing to be ahead of."
    assert said in alone.stdout.splitlines()
    assert said in Path("alone.html").read_text()
    assert "best baseline" not in alone.stdout
    assert json.loads(Path("alone.json").read_text())["verdict"]["rows"] == []
    assert json.loads(Path("alone.json").read_text())["minus_penchant"] == {}
    assert json.loads(Path("without.json").read_text())["minus_penchant"] == {}


def test_reach_is_one_more_model_per_amount_and_no_more_work(monkeypatch):
    name = write(rows(n=600, users=30, items=60))
    models = ("--models", "popularity,penchant,co_occurrence_tuned")
    plain = report_of(name, models=models)

    result = evaluate(name, *models, "--reach", "2, 0.5,0.50", "--json", "report.json", "--html", "page.html")

    assert result.exit_code == 0, result.output
    report = json.loads(Path("report.json").read_text())
    own = ["penchant", "penchant_reach_0.5", "penchant_reach_2"]
    assert list(report["models"]) == [*own, "popularity", "co_occurrence_tuned"]
    for each in ("penchant", "popularity"):
        assert report["models"][each]["ndcg@10"] == plain["models"][each]["ndcg@10"]
    novelty = [report["models"][each]["novelty@10"] for each in own]
    assert novelty == sorted(set(novelty))
    assert report["models"]["penchant_reach_2"]["chosen"]["reach"] == 2.0
    assert report["verdict"]["rows"] == plain["verdict"]["rows"]
    assert set(report["minus_penchant"]) == set(report["models"]) - {"penchant"}
    for other, each in report["minus_penchant"].items():
        own_figure = report["models"]["penchant"]["ndcg@10"]
        assert each["ndcg@10"]["mean"] == pytest.approx(report["models"][other]["ndcg@10"] - own_figure)
        low, high = each["ndcg@10"]["interval"]
        assert low <= each["ndcg@10"]["mean"] <= high
    assert report["verdict"]["baselines"] == ["popularity", "co_occurrence_tuned"]
    assert "Relevance and reach" in Path("page.html").read_text()

    monkeypatch.setattr(evaluation_run, "run_reranked", None)  # nothing is run again
    assert figures(report_of(name, "--reach", "0.5,2", models=models)) == figures(report)
    assert figures(report_of(name, models=models)) == figures(plain)


@pytest.mark.parametrize(
    ("amounts", "named"), [("0", "no amount"), ("nan", "no amount"), ("x", "no amount"), ("-1", "'-1'"), ("101", "100")]
)
def test_an_amount_of_reach_that_is_none_is_one_line_with_a_fix(amounts, named):
    assert named in one_line(evaluate(write(rows()), "--models", "penchant", "--reach", amounts))


def test_reach_without_penchant_is_one_line_with_a_fix():
    assert "add penchant" in one_line(evaluate(write(rows()), *MODELS, "--reach", "0.1"))


def test_a_file_alone_is_still_judged_and_the_new_spelling_is_told():
    name = write(rows())
    old = CliRunner().invoke(app, ["evaluate", name, *MODELS, "--json", "old.json"], prog_name="penchant")

    assert old.exit_code == 0
    assert "`penchant evaluate rankings EVENTS`" in old.stderr.splitlines()[0]
    assert figures(json.loads(Path("old.json").read_text(encoding="utf-8"))) == figures(report_of(name))


def test_the_order_of_the_lines_does_not_matter_where_times_differ():
    forward = figures(report_of(write(rows())))
    backward = figures(report_of(write(rows()[::-1], "backward.csv")))

    assert forward == backward


def test_a_part_of_the_questions_is_asked_evenly_and_the_report_says_of_how_many():
    name = write(rows())
    every, few = report_of(name), report_of(name, "--max-questions", "5")
    result = evaluate(name, *MODELS, "--max-questions", "5")

    possible = every["data"]["questions"]
    assert possible == every["data"]["possible_questions"] == few["data"]["possible_questions"] > 5
    assert few["data"]["questions"] == few["questions"]["all"] == 5
    assert f"5 questions of {possible}, evenly spread, by" in " ".join(result.stdout.split())


def test_a_tenth_of_repeated_lines_changes_nothing():
    lines = rows()
    chosen = np.random.default_rng(1).random(200) < 0.1
    twice = [line for line, again in zip(lines, chosen, strict=True) for line in [line] * (1 + again)]

    assert len(twice) > 210
    assert figures(report_of(write(lines))) == figures(report_of(write(twice, "twice.csv")))


def test_ids_with_commas_and_chinese_are_ids_like_any_other():
    lines = rows()
    strange = [f'"李,{u}","商品, ""{i}""",{rest}' for u, i, rest in (line.split(",", 2) for line in lines)]

    assert figures(report_of(write(lines))) == figures(report_of(write(strange, "strange.csv")))


@pytest.mark.parametrize("step_s", [10**9, 600])
def test_events_of_one_time_keep_the_order_of_the_file(step_s):
    lines = rows()
    coarse = [f"{rest},{int(time) // step_s * step_s}" for rest, _, time in (line.rpartition(",") for line in lines)]
    late_first = sorted(coarse, key=lambda line: -int(line.rpartition(",")[2]))

    one, other = report_of(write(lines)), report_of(write(late_first, "coarse.csv"))

    for name in one["models"]:
        assert one["models"][name]["ndcg@10"] == other["models"][name]["ndcg@10"]


def test_one_user_and_one_item_have_their_right_numbers():
    alone = report_of(write([f"u,i{k},click,{1_600_000_000 + k}" for k in range(10)]))
    assert alone["questions"] == alone["questions"] | {"all": 2, "items_unknown": 2}
    assert alone["models"]["popularity"]["hr@10"] == 0.0

    only = report_of(write([f"u{k},i,click,{1_600_000_000 + k}" for k in range(10)], "item.csv"))
    assert only["models"]["popularity"]["hr@10"] == 1.0
    assert only["models"]["popularity"]["auc"] is None  # there is nothing else to be better than


@pytest.mark.parametrize(
    ("lines", "header", "named"),
    [
        ([], HEADER, "holds no rows"),
        (["u1,i1,click,1600000000"], "who,item_id,action,event_time", "user_id"),
        (["u1,i1,stare,1600000000"], HEADER, "schema"),
        (["u1,i1,dislike,1600000000"], HEADER, "shows interest"),
        (["u1,i1,click,2099-01-01"], HEADER, "refused"),
    ],
)
def test_a_file_that_cannot_be_judged_by_is_one_line_with_a_fix(lines, header, named):
    assert named in one_line(evaluate(write(lines, header=header), *MODELS))


def test_an_empty_file_a_missing_one_and_wrong_words_are_one_line_with_a_fix():
    Path("empty.csv").write_text("")
    good = write(rows())

    assert "empty.csv" in one_line(evaluate("empty.csv"))
    assert "missing.csv" in one_line(evaluate("missing.csv"))
    assert "missing.csv" in one_line(evaluate(good, "--items", "missing.csv"))
    assert "nonsense" in one_line(evaluate(good, "--models", "nonsense"))
    assert "nowhere" in one_line(evaluate(good, "--json", "nowhere/report.json"))
    assert "work" in one_line(evaluate(good, "--work-dir", f"{good}/work"))


def test_what_was_refused_is_counted_and_the_rest_is_judged():
    report = report_of(write([*rows(), "u1,,click,1600000000", "u1,i1,stare,1600000000"]))

    assert report["data"]["refused_by_reason"] == {"no_item": 1, "schema": 1}
    assert figures(report) == figures(report_of(write(rows(), "good.csv")))


def test_a_finished_model_is_not_run_again_until_something_changes(monkeypatch):
    name = write(rows())
    first = report_of(name)

    def refuse(*_arguments, **_options):
        raise AssertionError("it was run again")

    with monkeypatch.context() as patched:
        patched.setattr(evaluation_run, "run_reranked", refuse)
        assert figures(report_of(name)) == figures(first)
        for changed in (("--seed", "1"), ("--warm-up", "0.5"), ("--map", f"{AS_NAMED},dwell_ms=:7")):
            with pytest.raises(AssertionError, match="again"):
                CliRunner().invoke(app, ["evaluate", "rankings", name, *MODELS, *changed], catch_exceptions=False)
    result = next(Path(".penchant/evaluation").glob("popularity-*.npz"))
    result.write_bytes(result.read_bytes()[:100])  # as a full disk might leave it
    assert figures(report_of(name)) == figures(first)


def test_a_model_that_cannot_take_part_is_skipped_and_says_why():
    report = report_of(write(rows()), models=("--models", "popularity,content"))

    assert list(report["models"]) == ["popularity"]
    assert "--items" in report["skipped"]["content"]
    assert "--items" in one_line(evaluate("events.csv", "--models", "content"))


def test_processes_give_what_one_process_gives():
    name = write(rows())
    alone = report_of(name, "--work-dir", "alone")

    process = subprocess.run(
        [sys.executable, "-m", "stream", "evaluate", "rankings", name, *MODELS, "--jobs", "2", "--json", "jobs.json"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert process.returncode == 0, process.stderr
    assert figures(json.loads(Path("jobs.json").read_text())) == figures(alone)


def test_the_catalogue_adds_candidates_and_categories_measure_diversity():
    name = write(rows())
    items = [f"i{k},Title {k},{'a' if k % 2 else 'b'}" for k in range(40)]
    write(items, "items.csv", "item_id,title,categories")

    without, given = report_of(name), report_of(name, "--items", "items.csv")

    assert given["data"]["items_in_catalogue"] == 40
    assert given["models"]["popularity"]["auc"] > without["models"]["popularity"]["auc"]
    assert 0 < given["models"]["popularity"]["diversity@10"] < 1
    assert given["questions"]["items_unknown"] == 0


def test_the_page_is_one_file_with_pictures_in_it_and_obeys_no_name():
    result = evaluate(write(rows()), *MODELS, "--html", "page.html", "--json", "report.json")

    assert result.exit_code == 0, result.output
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 2
    assert "co_occurrence_tuned" in page
    assert set(re.findall(r'(?:src|href)="([^"]{5})', page)) == {"data:"}
    report = json.loads(Path("report.json").read_text())
    hostile = report | {"command": "<script>", "skipped": {"<script>": "<script>"}}
    assert "<script" not in render(hostile, {"<script>": b"png"})


def test_a_page_without_matplotlib_is_one_line_before_the_work(monkeypatch):
    monkeypatch.setattr("stream.cli.outputs.find_spec", lambda _: None)

    assert "matplotlib" in one_line(evaluate(write(rows()), *MODELS, "--html", "page.html"))


def test_shuffling_keeps_who_when_and_what_within_a_minute_but_not_the_order():
    rng = np.random.default_rng(0)
    n = 400
    columns = [rng.integers(0, 3, n), np.arange(n), np.sort(rng.integers(0, 20 * 60_000, n))]
    rest = [np.arange(n) for _ in range(6)]
    before = Rows(*columns, *rest)

    after = shuffle_minutes(before, 1)

    assert after.user.tolist() == before.user.tolist()
    assert after.time_ms.tolist() == before.time_ms.tolist()
    assert after.item.tolist() != before.item.tolist()
    assert after.item.tolist() == after.slot.tolist()  # rows move as a whole
    minute = before.time_ms // 60_000
    for user in range(3):
        for m in range(20):
            group = (before.user == user) & (minute == m)
            assert sorted(after.item[group]) == sorted(before.item[group])
    assert shuffle_minutes(before, 1).item.tolist() == after.item.tolist()
    assert shuffle_minutes(before, 2).item.tolist() != after.item.tolist()

"""`penchant evaluate clicks`: what is stated before it is known, by the parts that serve, against what is simple."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from evaluation_streams import make_known, make_stream
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from benchmarks import mind_events, obd_events
from models.evaluation.baselines.theta_uv import AdamW, Moments, ShownPairs, adamw_step, fit, past_vector, predict
from models.evaluation.bootstrap import Resamples
from models.evaluation.calibration import area_under_roc
from models.evaluation.click_contenders import GlobalRate, ScoreOnly, SlotRate, Stated
from models.evaluation.click_figures import _weighted_auc, figures, log_loss_minus
from models.evaluation.exposures import exposures
from models.learning.click_examples import Examples
from models.ranking.features import PARTS
from models.ranking.parts import shown_parts
from models.ranking.rank import RankingParams, rank
from models.ranking.weights import Calibration, default_weights
from stream.analysis.clicks.judge import CLICK, IMPRESSION, find_exposures, replay
from stream.analysis.replayed import ReplayedWorker
from stream.cli import evaluate_clicks
from stream.cli.main import app
from stream.settings import Settings

MINUTE_MS = 60_000
ROWS = ("penchant_online", "calibration", "score_only", "slot_rate", "global_rate")


@pytest.fixture(autouse=True)
def _no_encoder(clean_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")


# --- exposures


def stream_of(rows: list[tuple[int, int, str, int]]) -> Any:
    """(user, item, "shown" or "click", minute); a slot is not told."""
    user, item, kind, minute = (list(column) for column in zip(*rows, strict=True))
    stream = make_stream(user, item, [m * MINUTE_MS for m in minute], [k == "click" for k in kind])
    return stream._replace(action=np.array([CLICK if k == "click" else IMPRESSION for k in kind], np.uint8))


def found(rows: list[tuple[int, int, str, int]], window: int = 30) -> list[tuple[int, int, bool]]:
    shown = exposures(stream_of(rows), IMPRESSION, CLICK, window * MINUTE_MS)
    return list(zip(shown.at.tolist(), shown.slate.tolist(), shown.clicked.tolist(), strict=True))


def test_an_impression_followed_by_a_click_in_time_is_clicked() -> None:
    rows = [(0, 0, "shown", 0), (0, 1, "shown", 0), (1, 0, "shown", 1), (0, 1, "click", 30)]

    assert found(rows) == [(0, 0, False), (1, 0, True), (2, 1, False)]
    assert found(rows, window=29) == [(0, 0, False), (1, 0, False), (2, 1, False)]


def test_a_click_goes_to_the_newest_impression_before_it() -> None:
    rows = [(0, 0, "click", 0), (0, 0, "shown", 1), (0, 0, "shown", 2), (0, 0, "click", 3), (0, 0, "shown", 4)]

    assert [clicked for _, _, clicked in found(rows)] == [False, True, False]


def test_an_item_that_a_list_has_twice_is_one_exposure() -> None:
    assert found([(0, 0, "shown", 0), (0, 0, "shown", 0), (0, 0, "click", 1)]) == [(0, 0, True)]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["shown", "click"]), st.integers(0, 9)),
        min_size=1,
        max_size=25,
    ),
    window=st.integers(1, 5),
)
def test_exposures_are_those_of_a_plain_loop(rows: list[tuple[int, int, str, int]], window: int) -> None:
    rows.sort(key=lambda row: row[3])
    by_hand: list[list[Any]] = []
    newest: dict[tuple[int, int], int] = {}
    slate, before = -1, None
    for at, (user, item, kind, minute) in enumerate(rows):
        if kind == "shown":
            if before != (user, minute):
                slate, held = slate + 1, set[int]()
            before = (user, minute)
            if item not in held:
                held.add(item)
                newest[user, item] = len(by_hand)
                by_hand.append([at, slate, False])
        else:
            before = None
            if (user, item) in newest:
                place = newest[user, item]
                by_hand[place][2] |= minute - rows[by_hand[place][0]][3] <= window

    assert found(rows, window) == [tuple(each) for each in by_hand]


# --- parts of what was shown


def test_what_was_shown_has_the_parts_that_a_list_states() -> None:
    rng = np.random.default_rng(0)
    n = 400
    stream = make_stream(rng.integers(0, 20, n), rng.integers(0, 30, n))
    stream = stream._replace(action=np.full(n, CLICK, np.uint8))
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = make_known(stream, vectors=vectors)
    replayed = ReplayedWorker(Settings(), stream, known)
    replayed.advance(n)
    now_ms = n * MINUTE_MS
    inputs, priors = replayed.inputs(3, now_ms), replayed.priors(now_ms)
    listed = rank(
        inputs.question,
        catalog=replayed.catalog,
        stats=replayed.stats,
        priors=priors,
        params=RankingParams(10),
        semantics=inputs.text,
    )

    shown = np.append(listed.items[0, ::-1], listed.items[0, :1])
    parts = shown_parts(
        inputs.question,
        shown,
        items=replayed.items(),
        priors=priors,
        weights=default_weights(),
        semantics=inputs.text,
    )

    stated = np.stack([listed.parts[name][0] for name in PARTS], axis=1)
    np.testing.assert_allclose(parts[:-1], stated[::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(parts[-1], parts[-2])
    exact = [p for p, name in enumerate(PARTS) if name != "interest"]
    np.testing.assert_array_equal(parts[:-1, exact], stated[::-1, exact])


def test_what_must_not_be_listed_has_no_parts() -> None:
    stream = make_stream([0, 0, 1, 1], [0, 1, 0, 1])._replace(action=np.full(4, CLICK, np.uint8))
    replayed = ReplayedWorker(Settings(), stream, make_known(stream))
    replayed.advance(4)
    out = np.array([1], np.int32)
    asked = replayed.inputs(0, 10 * MINUTE_MS, excluded=out).question

    parts = shown_parts(
        asked,
        np.array([0, 1], np.int32),
        items=replayed.items(),
        priors=replayed.priors(10 * MINUTE_MS),
        weights=default_weights(),
    )

    assert np.isnan(parts).all(axis=1).tolist() == [False, True]


# --- figures


@settings(max_examples=100, deadline=None)
@given(data=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_weighted_auc_is_that_of_the_repeated_examples(data: list[tuple[int, bool, int]]) -> None:
    data.sort()
    score, clicked, weight = (np.array(column) for column in zip(*data, strict=True))

    weighted = _weighted_auc(score.astype(np.int64), clicked, weight.astype(np.float64))

    repeated = area_under_roc(np.repeat(score, weight).astype(np.float64), np.repeat(clicked, weight))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12)


def test_intervals_hold_the_figures_of_a_calibrated_model_and_differences_have_the_better_one_below_zero() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.6, 4000)
    clicked, user = rng.random(4000) < p, rng.integers(0, 200, 4000).astype(np.int32)
    resamples = Resamples(user, 0, 200)

    told = figures(p, clicked, resamples)

    for name in ("auc", "log_loss"):
        low, high = told["intervals"][name]
        assert low < told[name] < high
    assert told["ece"] < 0.03
    assert told["intervals"]["ece"][0] >= 0
    assert sum(told["reliability"]["pairs"]) == 4000
    better = log_loss_minus(p, np.full(4000, clicked.mean()), clicked, resamples)
    assert better["interval"][1] < 0


# --- contenders


def examples(slot: list[int], clicked: list[bool]) -> Examples:
    return Examples(np.zeros((len(slot), len(PARTS))), np.array(slot), np.array(clicked))


def test_rates_are_clicks_over_exposures_and_a_slots_own_is_drawn_to_the_overall_one() -> None:
    overall, by_slot = GlobalRate(), SlotRate()
    told = examples([1] * 200 + [2] * 200, [True] * 50 + [False] * 350)
    overall.learn(told)
    by_slot.learn(told)
    nothing, slot = np.zeros((3, len(PARTS))), np.array([1, 2, 3])

    rate = 50.5 / 401
    np.testing.assert_allclose(overall.predict(nothing, slot), rate)
    np.testing.assert_allclose(
        by_slot.predict(nothing, slot), [(50 + 100 * rate) / 300, 100 * rate / 300, rate], rtol=1e-12
    )


def test_the_score_alone_neither_sees_which_part_it_is_of_nor_the_slot() -> None:
    rng = np.random.default_rng(0)
    parts, slot = rng.normal(size=(500, len(PARTS))), rng.integers(0, 5, 500)
    model = ScoreOnly(Calibration(1.0, -2.0))
    model.learn(Examples(parts, slot, rng.random(500) < 0.3))
    some = parts[:4]

    mixed = np.roll(some, 1, axis=1)

    np.testing.assert_allclose(model.predict(some, slot[:4]), model.predict(mixed, slot[4:8]), rtol=1e-9)
    assert np.ptp(model.predict(some, slot[:4])) > 0


def test_the_calibration_learns_nothing() -> None:
    model = Stated(Calibration(1.0, -2.0))
    before = model.predict(np.ones((1, len(PARTS))), np.array([1]))
    model.learn(examples([1] * 50, [True] * 50))

    np.testing.assert_array_equal(model.predict(np.ones((1, len(PARTS))), np.array([1])), before)


# --- the batch model


def test_a_step_of_adamw_is_its_formula() -> None:
    """First step: both corrections cancel the betas, so theta -= rate (g / (|g| + eps) + decay theta)."""
    options = AdamW(learning_rate=0.1, weight_decay=0.5)
    theta, g = np.array([2.0, -1.0, 3.0]), np.array([4.0, -0.01, 0.0])
    start = Moments(theta, np.zeros(3), np.zeros(3), 0)

    first = adamw_step(start, g, np.array([True, True, False]), options)

    np.testing.assert_allclose(first.theta, [2 - 0.1 * (1 + 1.0), -1 - 0.1 * (-1 - 0.5), 3.0], rtol=1e-5)
    second = adamw_step(first, 2 * g, np.array([True, True, False]), options)
    mean = (0.9 * 0.1 * 4 + 0.1 * 8) / (1 - 0.9**2)
    square = (0.999 * 0.001 * 16 + 0.001 * 64) / (1 - 0.999**2)
    expected = first.theta[0] - 0.1 * (mean / (np.sqrt(square) + 1e-8) + 0.5 * first.theta[0])
    assert second.theta[0] == pytest.approx(expected, rel=1e-12)


def test_adamw_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    options, theta = AdamW(), rng.normal(size=6)
    parameter = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    theirs = torch.optim.AdamW([parameter], lr=options.learning_rate, weight_decay=options.weight_decay)
    ours = Moments(theta, np.zeros(6), np.zeros(6), 0)

    for _ in range(50):
        gradient = rng.normal(size=6)
        parameter.grad = torch.from_numpy(gradient.copy())
        theirs.step()
        ours = adamw_step(ours, gradient, np.ones(6, bool), options)

    np.testing.assert_allclose(ours.theta, parameter.detach().numpy(), rtol=1e-9)


def pairs_that_agree(with_product: bool, m: int = 8000) -> tuple[ShownPairs, np.ndarray[Any, Any]]:
    """Clicks come where u and v agree; neither u nor v alone says anything."""
    rng = np.random.default_rng(0)
    sides = np.sign(rng.normal(size=(60, 4))).astype(np.float32)
    user, item = rng.integers(0, 30, m), rng.integers(0, 30, m)
    u, v = sides[:30], sides[30:]
    p = 1 / (1 + np.exp(-(u[user] * v[item]).sum(axis=1)))
    return ShownPairs(u, v, user, item, with_product), rng.random(m) < p


def test_a_linear_theta_cannot_say_that_an_item_suits_a_user_and_the_product_can() -> None:
    auc = {}
    for with_product in (False, True):
        pairs, clicked = pairs_that_agree(with_product)
        theta = fit(pairs, clicked, 6000, 0, AdamW(learning_rate=0.02)).theta
        auc[with_product] = area_under_roc(predict(pairs, theta, np.arange(6000, 8000)), clicked[6000:])

    assert auc[False] < 0.6
    assert auc[True] > 0.8


def test_a_linear_theta_orders_items_alike_for_everybody() -> None:
    pairs, clicked = pairs_that_agree(with_product=False)
    pairs = pairs._replace(items=np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32))  # none are equal
    theta = fit(pairs, clicked, 6000, 0).theta
    everything = np.arange(30)

    orders = {
        tuple(np.argsort(predict(pairs._replace(user=np.full(30, user), item=everything), theta, everything)).tolist())
        for user in range(30)
    }

    assert len(orders) == 1


def test_training_stops_where_what_was_held_out_gets_worse_and_keeps_the_best() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(200, 50)).astype(np.float32), rng.normal(size=(200, 50)).astype(np.float32)
    pairs = ShownPairs(u, v, rng.integers(0, 200, 400), rng.integers(0, 200, 400), False)
    clicked = rng.random(400) < 0.1

    found = fit(pairs, clicked, 400, 0, AdamW(learning_rate=0.05))

    assert found.epochs == 0, "noise: nothing beats the rate it starts from"
    np.testing.assert_allclose(predict(pairs, found.theta, np.arange(5)), clicked[:320].mean(), rtol=1e-9)


def test_training_says_what_is_missing() -> None:
    pairs, clicked = pairs_that_agree(with_product=False, m=100)

    with pytest.raises(ValueError, match="no clicks"):
        fit(pairs, np.zeros_like(clicked), 100, 0)
    with pytest.raises(ValueError, match="too few"):
        fit(pairs, clicked, 2, 0)


def test_the_past_is_the_weighted_mean_of_what_has_text() -> None:
    vectors = np.array([[1, 0], [0, 0], [0, 1]], np.float32)

    u = past_vector(vectors, np.array([1.0, 5.0, 2.0]))

    np.testing.assert_allclose(u, np.array([1.0, 2 * 0.81]) / (1 + 2 * 0.81), rtol=1e-6)
    np.testing.assert_array_equal(past_vector(vectors[1:2], np.array([1.0])), [0, 0])


# --- what is made of data sets


def test_mind_becomes_ordered_history_impressions_and_clicks() -> None:
    raw = pl.DataFrame(
        [
            ("2", "u1", "11/14/2019 1:00:00 PM", "N1 N2", "N5-0"),
            ("1", "u1", "11/14/2019 11:00:00 AM", "N1 N2", "N3-0 N4-1 N6-1"),
            ("3", "u2", "11/14/2019 1:00:00 PM", None, "N5-1"),
        ],
        schema=["impression_id", "user_id", "time", "history", "impressions"],
        orient="row",
    )

    rows = mind_events.events(raw).rows()

    first_ms = 1573729200_000
    week_ms = 7 * 86_400_000
    assert rows == [
        ("u1", "N1", "click", first_ms - 4 * week_ms + 4 * week_ms // 3),
        ("u1", "N2", "click", first_ms - 4 * week_ms + 4 * week_ms // 3 * 2),
        ("u1", "N3", "impression", first_ms),
        ("u1", "N4", "impression", first_ms),
        ("u1", "N6", "impression", first_ms),
        ("u1", "N4", "click", first_ms + 1000),
        ("u1", "N6", "click", first_ms + 2000),
        ("u1", "N5", "impression", first_ms + 7_200_000),
        ("u2", "N5", "impression", first_ms + 7_200_000),
        ("u2", "N5", "click", first_ms + 7_201_000),
    ]


def test_mind_items_without_a_title_are_left_out() -> None:
    raw = pl.DataFrame(
        [("N1", "news", "local", "A title", "More."), ("N2", "news", "local", None, "More.")],
        schema=["item_id", "category", "subcategory", "title", "abstract"],
        orient="row",
    )

    assert mind_events.items(raw).rows() == [("N1", "A title", "news|local", "More.")]


def test_an_open_bandit_log_becomes_impressions_with_slots_and_clicks_of_groups() -> None:
    features = {f"user_feature_{n}": [str(n) * 32] * 2 for n in range(4)}
    raw = pl.DataFrame(
        {
            "timestamp": ["2019-11-24 00:00:01.500000+00:00", "2019-11-24 00:00:02+00:00"],
            "item_id": ["14", "3"],
            "position": ["3", "1"],
            "click": ["0.0", "1.0"],
            **features,
        }
    )

    rows = obd_events.events(raw, "men").rows()

    user = "men-" + "".join(str(n) * 12 for n in range(4))
    assert rows == [
        (user, "men-14", "impression", 1574553601_500, 3),
        (user, "men-3", "impression", 1574553602_000, 1),
        (user, "men-3", "click", 1574553602_001, 1),
    ]


@pytest.mark.parametrize("module", [mind_events, obd_events])
def test_wrong_arguments_say_how_it_is_called(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main([]) == 2
    assert "python -m benchmarks." in capsys.readouterr().err


# --- the command


def write_events(users: int = 60, days: int = 6, seed: int = 0, impressions: bool = True) -> str:
    """Everybody likes one of two series and is shown items of both: mostly they click what they like, sooner above."""
    rng = np.random.default_rng(seed)
    lines = ["user_id,item_id,action,event_time,slot"]
    rows = []
    for user in range(users):
        liked = user % 2
        rows += [
            (1_600_000_000 + 97 * user + item, f"u{user},s{liked}-{item},click,{{}},")
            for item in rng.permutation(10)[:4].tolist()
        ]
        for day in range(1, days):
            at = 1_600_000_000 + 86_400 * day + 97 * user
            shown = rng.permutation(20)[:6].tolist()
            for place, item in enumerate(shown):
                series, number = divmod(item, 10)
                if impressions:
                    rows.append((at, f"u{user},s{series}-{number},impression,{{}},{place + 1}"))
                if rng.random() < (0.5 if series == liked else 0.05) / (1 + 0.3 * place):
                    rows.append((at + 60, f"u{user},s{series}-{number},click,{{}},"))
    rows.sort(key=lambda row: row[0])
    lines += [text.format(at) for at, text in rows]
    Path("events.csv").write_text("\n".join(lines) + "\n")
    return "events.csv"


def write_items() -> str:
    lines = ["item_id,title"] + [
        f"s{s}-{n},{('red wine', 'garden chair')[s]} number {n}" for s in (0, 1) for n in range(10)
    ]
    Path("items.csv").write_text("\n".join(lines) + "\n")
    return "items.csv"


def report_of(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["evaluate", "clicks", *arguments, "--json", "report.json"])
    assert result.exit_code == 0, result.output
    return json.loads(Path("report.json").read_text())


def test_the_report_has_every_row_and_what_is_learned_is_better_than_rates() -> None:
    report = report_of(write_events(days=12), "--warm-up", "0.5")

    assert set(report["models"]) == set(ROWS)
    assert report["exposures"] == {"all": 3960, "judged": 1980, "not_listable": 0}
    ours = report["models"]["penchant_online"]["probability"]
    assert ours["auc"] > report["models"]["slot_rate"]["probability"]["auc"]
    assert ours["ece"] < 0.1
    for name in ("calibration", "global_rate"):
        assert report["log_loss_minus"][name]["interval"][1] < 0, name
    assert report["learned"]["examples"] + report["not_learned"]["dropped"] <= 3960
    assert report["not_learned"]["unknown"] == 60 * 4, "the clicks of the first day, which nothing was shown before"
    assert set(report["skipped"]) == {"batch_theta_uv", "batch_theta_uv_product"}
    assert "text vectors" in report["skipped"]["batch_theta_uv"]
    assert report["learned"]["slots"][1] > report["learned"]["slots"][6]
    assert report["first"]["1000"]["gradual"] < report["first"]["1000"]["switch_at_100_clicks"]


def test_with_texts_the_batch_models_stand_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "hashing")

    report = report_of(write_events(), "--items", write_items(), "--warm-up", "0.6")

    assert report["text"] == {"items": 1.0, "users": 1.0, "both": 1.0}
    linear, product = (
        report["models"][name]["probability"]["auc"] for name in ("batch_theta_uv", "batch_theta_uv_product")
    )
    assert report["log_loss_minus"]["slot_rate"]["interval"][1] < 0, "texts tell the series apart"
    assert report["log_loss_minus"]["score_only"]["interval"][1] < 0
    assert product > 0.65
    assert product > linear
    assert report["batch"]["batch_theta_uv"]["features"] == 2 * 64 + 1


def test_the_same_seed_gives_the_same_report_and_a_page_with_the_plot() -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    events = write_events(users=20)

    one = report_of(events, "--html", "clicks.html")
    again = report_of(events)

    assert one["models"] == again["models"]
    page = Path("clicks.html").read_text()
    assert "data:image/png;base64," in page
    assert all(name in page for name in ROWS)


def test_only_the_first_exposures_are_used_if_so_many_are_asked_for_in_whole_lists() -> None:
    report = report_of(write_events(users=20), "--exposures", "303")

    assert report["exposures"]["all"] == 300


def test_nothing_is_stated_with_what_was_not_known_yet() -> None:
    """What is stated of the first half is the same bits whatever comes after it."""
    rng = np.random.default_rng(0)
    rows = [(int(rng.integers(0, 5)), int(rng.integers(0, 8)), "shown", minute) for minute in range(200)]
    rows = [row for user, item, _, minute in rows for row in [(user, item, "shown", minute)]
            + ([(user, item, "click", minute)] if item % 3 == 0 else [])]  # fmt: skip
    whole = stream_of(rows)
    half = type(whole)(*(column[:150] for column in whole))

    def stated(stream: Any) -> Any:
        shown = find_exposures(stream, 30 * MINUTE_MS, None)
        return replay(Settings(), stream, make_known(whole), shown, default_weights(), 30 * MINUTE_MS).stated

    all_of_it, first = stated(whole), stated(half)

    for name in ROWS:
        np.testing.assert_array_equal(all_of_it[name][: len(first[name])], first[name])


def test_events_without_impressions_are_one_line_that_names_the_fix() -> None:
    result = CliRunner().invoke(app, ["evaluate", "clicks", write_events(impressions=False)])

    assert result.exit_code == 2
    assert "no impression that was clicked" in result.output
    assert "map action to `impression`" in result.output


def test_the_help_shows_every_option_and_fits_the_screen() -> None:
    result = CliRunner().invoke(app, ["evaluate", "clicks", "--help"])

    assert result.exit_code == 0
    assert result.output.index("Examples") < result.output.index("Next:")
    for parameter in get_command(evaluate_clicks.app).params:
        for name in parameter.opts:
            if name.startswith("--"):
                assert name in result.output, name
    assert max(map(len, result.output.splitlines())) <= 80

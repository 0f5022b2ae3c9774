"""The report on lists that can be worked out by hand, and on ones that are made unfair on purpose."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fairness_lists import DAY_MS, T0, collected, one_list, shop, take
from rich.console import Console

from models.evaluation.fairness import examined
from stream.analysis.fairness.figures import ReportOptions, figures
from stream.analysis.fairness.page import page
from stream.analysis.fairness.screen import show_report
from stream.wire.records import Item

READ = {
    "placement": "home",
    "sensitive_without_category": [],
    "from": "<then>",
    "to": "now",
    "read": {"people_share": 1.0},
    "command": "x",
}


def test_exposure_is_what_places_are_worth_and_is_deserved_by_what_was_taken():
    found = collected()
    shop(found)

    said = figures(found, ReportOptions(patience=0.5, new_days=20.0))

    weights = examined(4, 0.5)  # places of b, a, c, d
    supplier = {row["group"]: row for row in said["exposure"]["supplier"]["groups"]}
    large = weights[:2].sum() / weights.sum()
    assert supplier["large brand"]["exposure"]["value"] == pytest.approx(large)
    # One of two choices was b: half of what lists as good as can be would give is the large one's.
    assert supplier["large brand"]["deserved"]["value"] == pytest.approx(0.5)
    assert supplier["large brand"]["ratio"]["value"] == pytest.approx(2 * large)
    assert said["exposure"]["supplier"]["unfairness"]["value"] == pytest.approx(large - 0.5)
    assert supplier["small brand"]["of_catalogue"] == 0.5
    new = next(row for row in said["exposure"]["age"]["groups"] if row["group"] == "new")
    assert new["exposure"]["value"] == pytest.approx(weights[2:].sum() / weights.sum())


def test_what_is_taken_of_one_list_shares_its_first_places():
    found = collected()
    shop(found)
    take(found, "p", "d", T0 + 11)  # beside b, which was at the first place

    said = figures(found, ReportOptions(patience=0.5))

    # p deserved 0.75 for each of b and d, q 1 for d.
    supplier = {row["group"]: row for row in said["exposure"]["supplier"]["groups"]}
    assert supplier["large brand"]["deserved"]["value"] == pytest.approx(0.75 / 2.5)


def test_quality_popularity_and_divergence_are_those_of_the_people_of_a_group():
    found = collected()
    shop(found)

    said = figures(found, ReportOptions(patience=0.5))

    device = {row["group"]: row for row in said["service"]["device"]}
    assert device["phone"]["ndcg@10"]["value"] == 1.0
    assert device["desk"]["ndcg@10"]["value"] == pytest.approx(1 / np.log2(5))
    assert device["phone"]["ndcg_difference"]["value"] == pytest.approx(1 - 1 / np.log2(5))
    everybody = said["service"]["everybody"][0]
    assert (everybody["choices"], everybody["people"], said["choices"]) == (2, 2, 2)
    # Both had taken a, which both took; lists hold a, b, c, d, which 2, 1, 0, 1 people took.
    assert everybody["popularity_lift"]["value"] == pytest.approx(0.5 / 1.0 - 1.0)
    # They took toys only; a and c of the lists are, at the second and third place.
    toys = (0.5 + 0.25) / 1.875
    assert everybody["divergence"]["value"] == pytest.approx(-np.log(0.99 * toys + 0.01))
    assert said["items"] == {"could_be_listed": 4, "listed": 4, "coverage": 1.0, "gini": pytest.approx(2.875 / 7.5)}


def test_a_group_that_is_pushed_down_and_people_who_are_served_badly_are_found():
    found, rng = collected(rows_max=100_000), np.random.default_rng(3)
    for n in range(20):
        brand = "acme" if n < 10 else f"b{n}"
        found.add_item(Item(f"i{n}", "t", ("x",), attributes={"brand": brand}), T0)
    for n in range(300):
        user, is_phone = f"u{n}", n % 2 == 0
        large, small = rng.permutation(10), 10 + rng.permutation(10)
        listed = [f"i{i}" for i in (*large[:6], *small[:4])]
        for week in range(2):
            found.add_list(one_list(user, T0 + 7 * DAY_MS * week, listed))
            wanted = listed[int(rng.integers(0, 3) if is_phone else rng.integers(6, 10))]
            take(found, user, wanted, T0 + 7 * DAY_MS * week + 5, device="phone" if is_phone else "desk")

    said = figures(found, ReportOptions())

    supplier = {row["group"]: row["ratio"] for row in said["exposure"]["supplier"]["groups"]}
    assert supplier["small brand"]["high"] < 1.0 < supplier["large brand"]["low"]  # half of what is taken is below
    device = {row["group"]: row for row in said["service"]["device"]}
    assert device["phone"]["ndcg_difference"]["low"] > 0.0 > device["desk"]["ndcg_difference"]["high"]
    assert [row["week"] for row in said["weeks"]] == [1, 2]
    assert said["weeks"][0]["supplier"]["small brand"] == pytest.approx(said["weeks"][1]["supplier"]["small brand"])
    assert [row["group"] for row in said["service"]["week"]] == ["week 1", "week 2"]


def test_lists_that_nobody_answered_still_say_what_they_show():
    found = collected()
    found.add_list(one_list("p", T0, "ab"))

    said = figures(found, ReportOptions())

    assert said["choices"] == 0
    popularity = said["exposure"]["popularity"]
    assert popularity["groups"][0]["exposure"]["value"] == 1.0
    assert popularity["unfairness"]["value"] is None
    json.dumps(said, allow_nan=False)


def test_the_report_is_shown_and_what_records_say_is_escaped(capsys: pytest.CaptureFixture[str]):
    found = collected()
    shop(found)
    found.add_item(Item("a", "a", ("<b>",)), None)
    report = READ | figures(found, ReportOptions())

    html = page(report, {"A <picture>": b"png"})
    show_report(Console(width=200, force_terminal=False), report)

    assert "<b>" not in html.replace("<body>", "")
    assert "&lt;b&gt;" in html
    assert "A &lt;picture&gt;" in html
    shown = capsys.readouterr().out
    assert "Exposure by supplier" in shown
    assert "Lists by device of people" in shown

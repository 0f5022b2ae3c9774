"""What is counted of people, and which arms are compared."""

from __future__ import annotations

import numpy as np
import pytest

from models.experiments.assignment import Experiment
from stream.analysis.experiments.figures import baseline_of, counts_of, figures
from stream.analysis.experiments.lists import LastList
from stream.analysis.outcomes.journeys import Exposure, Outcome, Person

FROM_MS = 1_000_000
HALVES = Experiment("x", "x", 1.0, (("control", 0.5), ("treatment", 0.5)), "control")


def person(shown=(), outcomes=()):
    """`shown`: (ms, clicked); `outcomes`: (ms, action, value)."""
    made = Person()
    for n, (at_ms, clicked) in enumerate(shown):
        exposure = made.exposures[n] = Exposure(n, at_ms, 1, 0)
        exposure.clicked = clicked
    for n, (at_ms, action, value) in enumerate(outcomes):
        made.outcomes[str(n)] = Outcome(n, action, at_ms, value, "last_touch", "none", 1.0, None, ())
    return made


def test_what_people_did_is_counted_before_and_since_the_beginning():
    some = person(
        [(FROM_MS - 1, True), (FROM_MS, True), (FROM_MS + 5, False)],
        [
            (FROM_MS - 1, "purchase", 7.0),
            (FROM_MS, "click", 0.0),
            (FROM_MS, "purchase", 10.0),
            (FROM_MS, "purchase", 0.0),
            (FROM_MS + 1, "refund", -4.0),
            (FROM_MS + 1, "cart", 3.0),
        ],
    )

    found = counts_of([some, None], FROM_MS)

    assert found.before.tolist() == [[1, 1, 0, 0, 1, 7, 49, 1], [0] * 8]
    assert found.during.tolist() == [[2, 1, 1, 1, 2, 6, 116, 2], [0] * 8]


def test_the_control_is_what_is_compared_with_or_the_holdout_of_one_arm():
    assert baseline_of(HALVES) == "control"
    assert baseline_of(HALVES._replace(control="treatment")) == "treatment"
    assert baseline_of(HALVES._replace(arms=(("all", 1.0),), control="all", holdout=0.1)) == "holdout"


def crowd(n, clicks, seed, arm):
    rng = np.random.default_rng(seed)
    people, lists = {}, {}
    for i in range(n):
        habit = rng.gamma(2.0, 0.5)
        before = rng.poisson(4 * habit)
        name = f"{arm}{i}"
        outcomes = [(FROM_MS - 1, "click", 0.0)] * before + [(FROM_MS, "click", 0.0)] * rng.poisson(clicks * habit)
        people[name] = person([(FROM_MS, rng.random() < 0.1)] * 4, outcomes)
        lists[name] = LastList(arm, b"", None)
    return people, lists


def test_a_clear_difference_is_found_by_click_and_by_nothing_else():
    (a, la), (b, lb) = crowd(2000, 3.0, 1, "control"), crowd(2000, 4.5, 2, "treatment")
    found = figures(HALVES, la | lb, a | b | {"stranger": person([(FROM_MS, True)])}, {}, FROM_MS)

    said = {row["outcome"]: row for row in found["lifts"]}
    clicks = said["clicks"]
    assert clicks["is_found"]
    assert clicks["relative_low"] < 0.5 < clicks["relative_high"]
    assert clicks["relative_low"] > 0
    assert clicks["explained"] > 0.1
    assert not said["click_rate"]["is_found"]
    assert said["purchases"]["too_few"] == said["value"]["too_few"] == "outcomes"
    assert [arm["people"] for arm in found["arms"]] == [2000, 2000]
    assert not found["balance"]["is_alarm"]


def test_an_arm_that_loses_people_is_flagged_and_too_few_people_are_not_compared():
    (a, la), (b, lb) = crowd(3000, 1.0, 3, "control"), crowd(2400, 1.0, 4, "treatment")
    assert figures(HALVES, la | lb, a | b, {}, FROM_MS)["balance"]["is_alarm"]
    few = dict(list(lb.items())[:99])
    found = figures(HALVES, la | few, a | b, {}, FROM_MS)
    assert {row["too_few"] for row in found["lifts"]} == {"people"}
    assert found["arms"][1]["people"] == 99


@pytest.mark.parametrize("holdout", [0.0, 0.2])
def test_every_other_arm_is_compared_with_the_control(holdout):
    three = HALVES._replace(arms=(("control", 0.4), ("a", 0.3), ("b", 0.3)), holdout=holdout)
    lists = {f"{arm}{n}": LastList(arm, b"", None) for arm in three.shares for n in range(3)}

    found = figures(three, lists, {}, {}, FROM_MS)

    assert list(dict.fromkeys(row["arm"] for row in found["lifts"])) == ["a", "b"] + ["holdout"] * (holdout > 0)

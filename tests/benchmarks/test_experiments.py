"""The simulation of experiments, with fewer runs: seeds are fixed, so the figures are the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.experiments import false_alarms, looks_at, planted, unbalanced, wilson, world
from models.experiments.lift import moments


def test_peeked_at_hourly_a_a_experiments_raise_few_false_alarms_and_a_z_test_many():
    found = {name: each["share"] for name, each in false_alarms(120, 1500).items()}

    assert found.pop("plain z-test") > 0.3
    assert max(found.values()) <= 0.05


def test_a_planted_lift_and_missing_people_are_found():
    found = planted(6, 30_000, 0.2)

    assert {name: each["found"] for name, each in found.items()} == dict.fromkeys(found, 1.0)
    assert {each["wrong_way"] for each in found.values()} == {0.0}
    assert found["clicks, CUPED"]["clicks_median"] < found["clicks"]["clicks_median"]
    assert unbalanced(6, 30_000, 0.54)["flagged"] == 1.0
    assert unbalanced(6, 30_000, 0.5)["flagged"] == 0.0


def test_the_sums_of_a_look_are_those_of_its_people():
    happened = world(3, 3000)
    looks = looks_at(happened)
    for hour in (30, 200, 335):
        is_known = happened.at * 24 < hour + 1
        shown, clicks = (
            np.bincount(happened.who[is_known], w[is_known], 3000)
            for w in (np.ones_like(happened.at), happened.clicked)
        )
        for arm in (0, 1):
            here = (happened.arm == arm) & (happened.arrives * 24 < hour + 1)
            for of, expected in (
                (looks.rate, moments(clicks[here], shown[here], happened.before[here])),
                (looks.adjusted, moments(clicks[here], None, happened.before[here])),
                (looks.per_person, moments(clicks[here])),
            ):
                assert [column[hour] for column in of[arm]] == [pytest.approx(float(each)) for each in expected]


def test_wilson_of_a_known_share():
    low, high = wilson(50, 1000)
    assert low == pytest.approx(0.0381, abs=1e-4)
    assert high == pytest.approx(0.0653, abs=1e-4)

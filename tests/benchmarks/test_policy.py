"""The simulator of exploration: logged propensities tell the truth, intervals hold it, and new items are seen sooner."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.policy import LOGGED, TARGETS, coverage, estimates, log_of, new_items
from benchmarks.policy_world import ClickWorld, Size, chances
from models.page.explore import ExploreParams

SMALL = Size(people=100, items=120, new_items=40)
SEEDS = 8


def a_log(seed: int = 3, size: Size = SMALL):
    world = ClickWorld(seed, size)
    people = world.people(size.people)
    return log_of(world, people, world.first_evidence(), learns=True)


@pytest.mark.parametrize("truth", ["these", "such"])
def test_intervals_hold_the_truth(truth: str) -> None:
    found = coverage(range(SEEDS), SMALL, truth)

    assert list(found) == list(TARGETS)
    for name, kinds in found.items():
        for kind, row in kinds.items():
            # Of 8 independent 95 % intervals two or more miss in 6 % of cases, three or more in .6 %.
            assert row["covered"] >= SEEDS - 2, (name, kind, row)
            assert abs(row["bias"]) < row["half_width"], (name, kind, row)
            assert row["half_width"] < row["truth"], "an interval that says something"


def test_a_log_whose_propensities_are_wrong_does_not_pass() -> None:
    misses = 0
    for seed in range(4):
        log = a_log(seed, Size())
        truth = float((log.target["rate 0"] * log.truth).sum(axis=1).mean())
        wrong = estimates(log._replace(propensity=np.full_like(log.propensity, 0.4)), "rate 0")["ips"].interval
        misses += not wrong[0] <= truth <= wrong[1]

    assert misses == 4


def test_what_could_have_stood_at_a_place_has_probabilities_that_sum_to_one() -> None:
    log = a_log()

    for target in log.target.values():
        np.testing.assert_allclose(target.sum(axis=1), 1.0, rtol=1e-9)
        assert (target[log.pool < 0] == 0.0).all()


def test_a_log_is_the_same_again() -> None:
    first, again = a_log(), a_log()

    assert first.item.tolist() == again.item.tolist()
    assert first.clicked.tolist() == again.clicked.tolist()


def test_a_place_without_anything_to_draw_keeps_its_item() -> None:
    world = ClickWorld(1, Size(people=3, items=80, new_items=0))
    shown = world.show(world.people(3), world.first_evidence(), LOGGED, 0)

    kept, drawn = chances(shown, LOGGED)

    assert (kept == 1.0).all()
    assert not drawn.any()
    assert not shown.is_drawn.any()


def test_new_items_are_seen_sooner_at_a_small_cost() -> None:
    found = new_items(2, Size(people=150, items=400, new_items=30), rounds=60, settings={"two": LOGGED})["two"]

    assert found["times_sooner"] >= 3.0
    assert found["reached"] == 1.0
    assert found["reached_without"] < 0.5
    assert found["ndcg@10_change"] > -0.02
    assert found["clicks_change"] > -0.02


def test_without_a_place_that_explores_nothing_is_sooner() -> None:
    found = new_items(2, SMALL, rounds=5, settings={"none": ExploreParams(slots=0)})["none"]

    assert found["times_sooner"] == 1.0
    assert found["clicks_change"] == 0.0

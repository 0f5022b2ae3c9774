"""Which list newcomers get: the one that those before them took most from, if that is sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.features import FEATURES
from models.ranking.newcomers import LEAST, MEMORY, add_up, choose, gains, no_evidence, remember, with_expert
from models.ranking.weights import default_weights, user_weights
from models.vocabulary import EXPERTS

E = len(EXPERTS)
MONTH = EXPERTS.index("entry_month")


def gained(rng: np.random.Generator, n: int, rates: dict[int, float], base: float = 0.1) -> np.ndarray:
    """(n, E): each newcomer takes the first item of an expert's list with its rate."""
    chance = np.full(E, base)
    for expert, rate in rates.items():
        chance[expert] = rate
    return (rng.random((n, E)) < chance).astype(float)


def test_every_expert_is_a_feature() -> None:
    assert set(EXPERTS) <= set(FEATURES)


def test_what_was_taken_is_worth_its_place_in_each_list() -> None:
    leaders = np.full((E, 12), -1, np.int32)
    leaders[0, :3], leaders[1, :12], leaders[2, 0] = (5, 6, 7), np.arange(12), 6
    found = gains(leaders, np.array([6, 11, -1, 99]))
    assert found.shape == (4, E)
    assert found[0, :3] == pytest.approx([1 / np.log2(3), 1 / np.log2(8), 1.0])
    assert not found[0, 3:].any()
    assert not found[1:].any()  # the twelfth place is beyond the tenth; nobody knows the others


def test_nobody_is_followed_without_evidence_nor_by_a_few() -> None:
    assert choose(no_evidence()) == (0, pytest.approx(np.zeros(E)), pytest.approx(np.zeros(E)), 0.0)
    always = np.zeros((int(LEAST) - 1, E))
    always[:, MONTH] = 1.0
    few = remember(no_evidence(), always)
    assert choose(few).expert == 0
    assert choose(remember(few, np.tile(always[:1], (5, 1)))).name == "entry_month"


def test_the_best_of_those_that_are_surely_better_is_followed() -> None:
    rng = np.random.default_rng(3)
    evidence = remember(no_evidence(), gained(rng, 600, {MONTH: 0.5, 2: 0.3}))
    choice = choose(evidence)
    assert (choice.expert, choice.name) == (MONTH, "entry_month")
    assert choice.better[MONTH] == pytest.approx(0.4, abs=0.1)
    assert choice.newcomers == pytest.approx(2 * MEMORY, rel=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_seldom_followed(seed: int) -> None:
    evidence, followed = no_evidence(), 0
    for row in gained(np.random.default_rng(seed), 2000, {}):
        evidence = remember(evidence, row[None, :])
        followed += choose(evidence).expert != 0
    assert followed < 500


def test_a_change_of_taste_is_followed_after_some_newcomers() -> None:
    rng = np.random.default_rng(1)
    evidence = remember(no_evidence(), gained(rng, 1000, {MONTH: 0.6}))
    assert choose(evidence).expert == MONTH
    evidence = remember(evidence, gained(rng, 1500, {MONTH: 0.0, 3: 0.6}))
    assert choose(evidence).expert == 3


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), max_size=6))
def test_it_does_not_matter_how_many_newcomers_are_told_at_once(seed: int, sizes: list[int]) -> None:
    rows = gained(np.random.default_rng(seed), sum(sizes), {2: 0.5})
    cut = no_evidence()
    for part in np.split(rows, np.cumsum(sizes)):
        cut = remember(cut, part)
    for one, other in zip(cut, remember(no_evidence(), rows), strict=True):
        assert np.array_equal(one, other)


def test_partitions_add_up() -> None:
    rng = np.random.default_rng(0)
    parts = [remember(no_evidence(), gained(rng, 40, {MONTH: 0.6})) for _ in range(3)]
    total = add_up(parts)
    assert total.n == pytest.approx(sum(each.n for each in parts))
    assert total.better == pytest.approx(sum(each.better for each in parts))
    assert add_up([]).n == 0.0


def test_an_expert_orders_the_lists_of_people_without_history_and_changes_nobody_elses() -> None:
    weights = default_weights()
    followed = with_expert(weights, MONTH)
    assert with_expert(weights, 0) is weights
    cold, warm = user_weights(followed, np.array([0, 3]), np.zeros(2))
    assert np.flatnonzero(cold).tolist() == [FEATURES.index("entry_month")]
    assert warm.tolist() == user_weights(weights, np.array([3]), np.zeros(1))[0].tolist()
    assert (followed.version, followed.cold_expert) == (weights.version, "entry_month")
    assert followed.wanted[FEATURES.index("entry_month")]
    assert not weights.wanted[FEATURES.index("entry_month")]

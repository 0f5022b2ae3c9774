"""Whether one way is surely better than the usual one: cautious, fading, the same however it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.evidence import LEAST, MEMORY, NONE, add_up, no_evidence, remember, surest, worth

WAYS = 10


def gained(rng: np.random.Generator, n: int, rates: dict[int, float], base: float = 0.1) -> np.ndarray:
    """(n, WAYS): each takes the first item of a way's list with its rate, less whether that of the first way's."""
    chance = np.full(WAYS, base)
    for way, rate in rates.items():
        chance[way] = rate
    taken = (rng.random((n, WAYS)) < chance).astype(float)
    return taken - taken[:, :1]


def test_nothing_is_sure_without_evidence_nor_by_a_few() -> None:
    assert surest(no_evidence(WAYS)) == (NONE, pytest.approx(np.zeros(WAYS)), pytest.approx(np.zeros(WAYS)), 0.0)
    always = np.zeros((int(LEAST) - 1, WAYS))
    always[:, 4] = 1.0
    few = remember(no_evidence(WAYS), always)
    assert surest(few).way == NONE
    assert surest(remember(few, np.tile(always[:1], (5, 1)))).way == 4


def test_the_best_of_those_that_are_surely_better_is_the_way_if_it_is_allowed() -> None:
    evidence = remember(no_evidence(WAYS), gained(np.random.default_rng(3), 600, {4: 0.5, 2: 0.3}))
    found = surest(evidence)
    assert found.way == 4
    assert found.better[4] == pytest.approx(0.4, abs=0.1)
    assert found.judgements == pytest.approx(2 * MEMORY, rel=0.3)
    allowed = np.ones(WAYS, np.bool_)
    allowed[4] = False
    assert surest(evidence, allowed).way == 2
    assert surest(evidence, np.zeros(WAYS, np.bool_)).way == NONE
    errors = found.better[4] / found.error[4]
    assert (surest(evidence, by=errors - 1e-6).way, surest(evidence, by=errors + 1e-6).way) == (4, NONE)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_seldom_sure(seed: int) -> None:
    evidence, followed = no_evidence(WAYS), 0
    for row in gained(np.random.default_rng(seed), 2000, {}):
        evidence = remember(evidence, row[None, :])
        followed += surest(evidence).way != NONE
    assert followed < 500


def test_a_change_is_followed_after_some_judgements() -> None:
    rng = np.random.default_rng(1)
    evidence = remember(no_evidence(WAYS), gained(rng, 1000, {4: 0.6}))
    assert surest(evidence).way == 4
    assert surest(remember(evidence, gained(rng, 1500, {4: 0.0, 3: 0.6}))).way == 3


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), max_size=6))
def test_it_does_not_matter_how_many_judgements_are_told_at_once(seed: int, sizes: list[int]) -> None:
    rows = gained(np.random.default_rng(seed), sum(sizes), {2: 0.5})
    cut = no_evidence(WAYS)
    for part in np.split(rows, np.cumsum(sizes)):
        cut = remember(cut, part)
    for one, other in zip(cut, remember(no_evidence(WAYS), rows), strict=True):
        assert np.array_equal(one, other)


def test_partitions_add_up() -> None:
    rng = np.random.default_rng(0)
    parts = [remember(no_evidence(WAYS), gained(rng, 40, {4: 0.6})) for _ in range(3)]
    total = add_up(parts, WAYS)
    assert total.n == pytest.approx(sum(each.n for each in parts))
    assert total.better == pytest.approx(sum(each.better for each in parts))
    assert add_up([], WAYS).n == 0.0


def test_each_has_lists_of_their_own_or_all_the_same_ones() -> None:
    lists = np.array([[[1, 2, 3]], [[4, 5, 6]]], np.int32)
    assert worth(lists, np.array([3, 4])).tolist() == [[0.5], [1.0]]
    assert worth(lists[:1], np.array([3, 4, -1])).tolist() == [[0.5], [0.0], [0.0]]
    assert worth(np.full((1, 1, 3), -1, np.int32), np.array([-1])).tolist() == [[0.0]]

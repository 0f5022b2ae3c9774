"""Integrated gradients: complete, and equal to the contributions that are published, which are their closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from what_if_world import PLACES, as_if

from models.evaluation.additive_score import AdditiveScore, additive_score
from models.evaluation.integrated_gradients import integrated_gradients, path_nodes
from models.ranking.features import NEAR_UNIT, items_of
from models.ranking.rank import SPLIT


def test_the_path_counts_as_much_as_it_is_long():
    a, weights = path_nodes()
    assert weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert ((a > 0) & (a < 1)).all()
    assert weights @ (1.0 / (1.0 + 1e6 * a)) == pytest.approx(np.log1p(1e6) / 1e6, rel=1e-12)


def test_of_a_product_each_factor_gets_half():
    # score = x y: the gradient on the way to (2, 3) is (3 a, 2 a); 2 * 3/2 and 3 * 2/2.
    found = integrated_gradients(lambda p: p[:, ::-1], np.array([2.0, 3.0]), np.zeros(2))
    assert found.tolist() == pytest.approx([3.0, 3.0])


def test_one_behaviour_at_one_scale_by_hand():
    score = AdditiveScore(np.array([[0.02]]), np.array([3.0]), np.array([0.5]))
    found = integrated_gradients(score.gradients, np.ones(1), np.zeros(1))
    assert found[0] == pytest.approx(3.0 * np.log1p(0.02 / NEAR_UNIT) + 0.5)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_they_add_up_to_the_score_less_that_of_the_baseline(seed):
    rng = np.random.default_rng(seed)
    score = AdditiveScore(rng.normal(0, 0.05, (3, 5)), rng.normal(size=3), rng.normal(size=5))
    point = rng.random(5)
    baseline = rng.random() * point  # elsewhere a corner of the score could lie on the way
    found = integrated_gradients(score.gradients, point, baseline)
    ends = score.scores(np.stack((point, baseline)))
    assert found.sum() == pytest.approx(ends[0] - ends[1], abs=1e-7)


def test_gradients_are_those_of_the_score():
    rng = np.random.default_rng(0)
    score = AdditiveScore(rng.normal(0, 0.05, (3, 5)), rng.normal(size=3), rng.normal(size=5))
    at, step = rng.random(5), 1e-7
    moved = at + step * np.eye(5)
    expected = (score.scores(moved) - score.scores(moved - 2 * step * np.eye(5))) / (2 * step)
    assert score.gradients(at[None])[0] == pytest.approx(expected, rel=1e-4)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.booleans())
def test_what_is_published_are_the_integrated_gradients_from_no_gain_to_the_gains(seed, texts):
    person = as_if(seed, texts)
    ranked = person.rank()
    items = items_of(person.inputs.catalog, person.inputs.stats)
    for place, item in enumerate(ranked.items[0].tolist()):
        if item < 0:
            break
        score = additive_score(person.whole().question, items, person.weights(), item, person.text())
        found = integrated_gradients(score.gradients, np.ones(PLACES), np.zeros(PLACES))
        assert found == pytest.approx(ranked.contributions[0, place], abs=1e-6)
        split = sum(ranked.parts[name][0, place] for name in SPLIT)
        assert score.scores(np.ones((1, PLACES)))[0] == pytest.approx(split, abs=1e-6)
        assert score.scores(np.zeros((1, PLACES)))[0] == 0.0

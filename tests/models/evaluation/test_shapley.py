"""Shapley values by hand, their laws, and that of a linear part they are the contributions that are published."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from what_if_world import as_if

from models.evaluation.shapley import MOST_EXACT, exact, sampled
from models.items.vectors import centred
from models.ranking.interest_graph import user_vectors


def random_game(n, seed):
    scores = np.random.default_rng(seed).normal(size=1 << n)
    return lambda present: scores[present @ (1 << np.arange(n))]


def test_the_glove_game_by_hand():
    # One left glove (0), two right ones (1, 2); a pair is worth 1. Shapley: 2/3, 1/6, 1/6.
    def game(present):
        return (present[:, 0] & (present[:, 1] | present[:, 2])).astype(float)

    assert exact(game, 3).values.tolist() == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_of_a_sum_with_one_product_each_gets_half_of_it():
    def game(present):
        x = present.astype(float)
        return 5.0 + x @ np.array([1.0, -2.0, 3.0]) + 4.0 * x[:, 0] * x[:, 2]

    found = exact(game, 3)
    assert found.values.tolist() == pytest.approx([3.0, -2.0, 5.0])
    assert (found.nothing, found.everything) == (5.0, 11.0)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_values_add_up_to_what_everything_adds_however_few_the_orders(n, seed):
    game = random_game(n, seed)
    for found in (exact(game, n), sampled(game, n, 2, np.random.default_rng(seed))):
        assert found.values.sum() == pytest.approx(found.everything - found.nothing)
        everything = np.ones((1, n), bool)
        assert [found.nothing, found.everything] == [game(~everything)[0], game(everything)[0]]


def test_estimates_are_as_far_from_the_truth_as_their_standard_errors_say():
    truth = exact(random_game(6, 3), 6).values
    errors = []
    for seed in range(60):
        found = sampled(random_game(6, 3), 6, 40, np.random.default_rng(seed))
        errors.append((found.values - truth) / found.standard_error)
    assert 0.8 < np.std(errors) < 1.2
    assert abs(np.mean(errors)) < 0.2


def test_the_same_seed_gives_the_same_estimates_and_more_orders_smaller_errors():
    game = random_game(6, 5)
    one, again, more = (sampled(game, 6, orders, np.random.default_rng(7)) for orders in (20, 20, 320))
    assert one.values.tolist() == again.values.tolist()
    assert more.standard_error.mean() < 0.4 * one.standard_error.mean()


@pytest.mark.parametrize("seed", range(8))
def test_of_the_part_that_is_linear_in_behaviours_shapley_is_our_contribution(seed):
    """The part `interest` with the shares of the whole history: the score is read from the vector that serves."""
    person = as_if(seed, texts=True)
    text = person.text()
    assert text is not None
    weights = np.array([[1.5, 0.5]])
    item = np.array([[seed]], np.int32)
    vector = centred(text.vectors.get(item), text.vectors.mean)[0, 0].astype(np.float64)
    places, row = text.places, text.places.row[0]
    history = np.where(row[:, None] >= 0, places.table[row], 0.0).astype(np.float64)

    def game(present):
        scores = []
        for row in present:
            worth = np.where(row, text.weights[0], 0.0)
            points = np.zeros_like(text.graph.weight)
            member = text.graph.group[0] >= 0
            np.add.at(points[0], text.graph.group[0][member], worth[member])
            wanted = user_vectors(text.graph._replace(weight=points), places, text.recent)[0, 0] @ vector
            recent = (np.where(row, text.recent[0], 0.0) @ history) @ vector
            scores.append(weights[0, 0] * wanted + weights[0, 1] * recent)
        return np.array(scores)

    ours = text.contributions(item, weights)[0, 0]
    n = len(ours)
    assert exact(game, n).values == pytest.approx(ours, abs=1e-6)
    estimated = sampled(game, n, 2, np.random.default_rng(seed))
    assert estimated.values == pytest.approx(ours, abs=1e-6)
    assert estimated.standard_error == pytest.approx(np.zeros(n), abs=1e-6)
    assert np.abs(ours).max() > 0.01


def test_too_few_orders_and_too_many_behaviours_are_refused():
    with pytest.raises(ValueError, match="1 orders"):
        sampled(random_game(2, 0), 2, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="too many sets"):
        exact(random_game(2, 0), MOST_EXACT + 1)

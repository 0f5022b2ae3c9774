"""Faithfulness by hand: a score that is a sum, whose explanations are known to be right or wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.faithfulness import (
    DEPTHS,
    GRID,
    LOWER_IS_BETTER,
    MEASURES,
    Curves,
    area,
    comprehensiveness,
    differences,
    figures,
    order_masks,
    sufficiency,
)


def curves_of(values, order, base=0.0):
    """Of the score `base + sum(values)`."""
    values = np.array(values, float)
    deleted, absent = order_masks(np.array(order))
    return Curves(base + (values * ~deleted).sum(axis=1), base + (values * ~absent).sum(axis=1))


def test_curves_of_a_sum_are_its_partial_sums():
    found = curves_of([4.0, 1.0, 2.0], [0, 2, 1], base=10.0)
    assert found.deletion.tolist() == [17, 13, 11, 10]
    assert found.insertion.tolist() == [10, 14, 16, 17]


def test_an_area_is_that_of_the_trapezoids():
    assert area(np.array([1.0, 0.0])) == 0.5
    assert area(np.array([17.0, 13.0, 11.0, 10.0])) == pytest.approx((15 + 12 + 10.5) / 3)
    assert area(np.array([3.0])) == 3.0


def test_comprehensiveness_and_sufficiency_are_what_is_lost():
    found = curves_of([4.0, 1.0, 2.0], [0, 2, 1])
    assert [comprehensiveness(found, k) for k in DEPTHS] == [4, 7, 7]
    assert [sufficiency(found, k) for k in DEPTHS] == [3, 0, 0]


def test_figures_are_in_units_of_what_the_past_adds():
    found = figures([curves_of([4.0, 1.0, 2.0], [0, 2, 1], 10.0), curves_of([1.0], [0], 5.0)])
    table = dict(zip(MEASURES, found.values.mean(axis=1).tolist(), strict=True))
    assert table["deletion_auc"] == pytest.approx(((37.5 / 3 - 10) + 0.5) / 8)
    assert table["insertion_auc"] == pytest.approx((((12 + 15 + 16.5) / 3 - 10) + 0.5) / 8)
    assert table["comprehensiveness@1"] == 2.5
    assert table["sufficiency@1"] == 1.5
    assert found.deletion[[0, -1]].tolist() == [1.0, 0.0]
    assert found.insertion[[0, -1]].tolist() == [0.0, 1.0]
    assert len(found.deletion) == GRID


@pytest.mark.parametrize("questions", [[], [curves_of([-1.0], [0])]])
def test_nothing_to_explain_is_no_figure(questions):
    with pytest.raises(ValueError, match="no"):
        figures(questions)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_of_a_sum_no_order_is_better_than_by_size(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    best, other = curves_of(values, np.argsort(-np.array(values))), curves_of(values, order)
    assert area(best.deletion) <= area(other.deletion) + 1e-9
    assert area(best.insertion) >= area(other.insertion) - 1e-9
    for k in DEPTHS:
        assert comprehensiveness(best, k) >= comprehensiveness(other, k) - 1e-9
        assert sufficiency(best, k) <= sufficiency(other, k) + 1e-9


def test_a_difference_is_above_0_where_ours_wins_whichever_direction_is_better():
    rng = np.random.default_rng(0)
    values = [rng.random(8) for _ in range(50)]
    ours = figures([curves_of(each, np.argsort(-each)) for each in values])
    worst = figures([curves_of(each, np.argsort(each)) for each in values])
    user = np.arange(50, dtype=np.int32)
    assert all(low > 0 for low, _ in differences(ours, worst, user, 0).values())
    assert all(high < 0 for _, high in differences(worst, ours, user, 0).values())
    assert set(MEASURES) >= LOWER_IS_BETTER

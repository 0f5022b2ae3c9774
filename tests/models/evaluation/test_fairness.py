"""Exposure, popularity and calibration, against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.fairness import (
    HEAD,
    MIDDLE,
    TAIL,
    calibration_kl,
    examined,
    popularity_tiers,
    target_exposure,
    total_variation,
)


def test_the_exposure_of_what_is_relevant_is_the_mean_of_the_first_places():
    looked_at = examined(5, 0.5)

    assert looked_at.tolist() == [1.0, 0.5, 0.25, 0.125, 0.0625]
    expected = [looked_at[:m].mean() for m in (1, 2, 5)]
    assert target_exposure(np.array([1, 2, 5]), 0.5) == pytest.approx(expected)


def test_head_and_tail_have_a_fifth_of_all_engagements_each():
    #                      100 together: 20 | 18 .. | the last ones up to 20
    people = np.array([20, 18, 17, 15, 10, 8, 6, 4, 2, 0])

    tiers = popularity_tiers(people)

    assert tiers.tolist() == [HEAD, MIDDLE, MIDDLE, MIDDLE, MIDDLE, TAIL, TAIL, TAIL, TAIL, TAIL]
    assert people[tiers == TAIL].sum() <= 20


def test_what_nobody_engaged_with_is_in_the_tail_even_where_nobody_engaged_at_all():
    assert popularity_tiers(np.zeros(3, np.int64)).tolist() == [TAIL] * 3


def test_lists_that_have_the_kinds_a_person_takes_diverge_by_nothing():
    taken = np.array([[3.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
    listed = np.array([[6.0, 2.0], [0.0, 8.0], [1.0, 1.0]])

    found = calibration_kl(taken, listed)

    assert found[0] == pytest.approx(0.0)
    # 0.75 ln(0.75 / 0.0075) + 0.25 ln(0.25 / (0.99 + 0.0025))
    assert found[1] == pytest.approx(0.75 * np.log(100.0) + 0.25 * np.log(0.25 / 0.9925))
    assert np.isnan(found[2])
    assert np.isnan(calibration_kl(np.zeros((2, 0)), np.zeros((2, 0)))).all()


def test_half_of_what_differs_has_to_change_hands():
    assert total_variation(np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.5, 0.3])) == pytest.approx(0.3)

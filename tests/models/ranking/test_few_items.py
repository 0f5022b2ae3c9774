"""What is added to the scores of people of whom little is known, and by whom that is judged."""

from __future__ import annotations

import numpy as np
import pytest

from models.ranking.evidence import JUDGED_AT
from models.ranking.features import FEATURES
from models.ranking.few_items import (
    ADDED,
    ADDED_NAMES,
    are_few,
    better_with_added,
    is_judge,
    lists_with_added,
    with_added,
)
from models.ranking.newcomers import with_list
from models.ranking.weights import FEW, default_weights, user_weights, weight_class, weight_classes

TREND = FEATURES.index("trend_hour")


def test_it_is_added_for_those_with_few_items_only_and_with_weight_0_nothing_changes() -> None:
    weights = with_list(default_weights(), "trend_hour")
    history, idle_s = np.array([0, 1, FEW - 1, FEW, 40]), np.array([0.0, 0.0, 9e9, 9e9, 0.0])
    usual, served = user_weights(weights, history, idle_s), user_weights(with_added(weights, 2.0), history, idle_s)
    few = np.array([False, True, True, False, False])
    assert (usual[~few] == served[~few]).all()
    expected = usual[few].copy()
    expected[:, TREND] += 2.0
    assert served[few] == pytest.approx(expected / 3.0)
    assert (user_weights(with_added(weights, 0.0), history, idle_s) == usual).all()
    # The tables that are kept for a moment have the same numbers.
    classes = weight_classes(with_added(weights, 2.0))
    assert (classes[weight_class(history, idle_s)] == served).all()


def test_its_feature_is_computed_though_no_weight_of_the_table_asks_for_it() -> None:
    weights = default_weights()._replace(cold_expert="trend_hour")
    assert not weights.wanted[TREND]
    assert with_added(weights, 0.5).wanted[TREND]
    assert not with_added(weights, 0.0).wanted[TREND]


def test_what_the_sequence_model_expects_of_nobody_is_not_added() -> None:
    assert with_added(with_list(default_weights(), "sequence"), 8.0).added == 0.0


def test_few_are_those_of_whom_something_is_known_but_not_much() -> None:
    assert are_few(np.array([0, 1, 4, 5, 64])).tolist() == [1, 2]


def test_every_eighth_person_judges_always_the_same_ones() -> None:
    users = [f"user-{n}".encode() for n in range(4000)]
    judges = [is_judge(user) for user in users]
    assert judges == [is_judge(user) for user in users]
    assert sum(judges) == pytest.approx(500, abs=70)


def test_lists_are_in_order_of_the_own_scores_and_of_those_with_each_weight_added() -> None:
    x = np.zeros((3, len(FEATURES)))
    x[:, 0], x[:, TREND] = (3.0, 2.0, 2.0), (0.0, 1.0, 1.0)
    own, newcomers = np.eye(len(FEATURES))[0], np.eye(len(FEATURES))[TREND]
    count, hashes = np.array([5.0, 4.0, 4.0]), np.array([1, 9, 8], np.uint64)
    lists = lists_with_added(x, np.array([10, 11, 12], np.int32), own, newcomers, count, hashes)
    assert lists.shape == (1 + len(ADDED), JUDGED_AT)
    assert lists[0, :4].tolist() == lists[1, :4].tolist() == [10, 12, 11, -1]
    assert lists[2, :4].tolist() == lists[3, :4].tolist() == [12, 11, 10, -1]
    assert better_with_added(lists[None], np.array([12]))[0] == pytest.approx(
        [0.0, 1 - 1 / np.log2(3), 1 - 1 / np.log2(3)]
    )
    assert better_with_added(lists[None], np.array([-1])).tolist() == [[0.0] * len(ADDED)]


def test_the_weights_have_names_in_records() -> None:
    assert ADDED_NAMES == ("0.5", "2", "8")
    assert [float(name) for name in ADDED_NAMES] == list(ADDED)

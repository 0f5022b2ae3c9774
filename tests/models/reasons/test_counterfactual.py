"""Counterfactuals: what is said to replace the leader does, and nothing smaller would."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_world import NOW_MS
from what_if_world import PLACES, as_if

from models.ranking.features import Question
from models.ranking.place_vectors import PastTexts
from models.ranking.rank import rank
from models.reasons.counterfactual import counterfactual
from models.reasons.removal import Past, rows_without, used_places, without


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.booleans())
def test_it_is_the_smallest_of_all_sets_that_change_the_leader(seed, texts):
    person = as_if(seed, texts)
    ranked, places = person.rank(), used_places(person.past)

    found = counterfactual(ranked, places, person.leads)

    leader = ranked.items[0, 0]
    sets = [chosen for size in range(1, len(places) + 1) for chosen in combinations(places.tolist(), size)]
    changing = [chosen for chosen in sets if person.leads([chosen])[0] != leader]
    if not changing:
        assert found is None
        return
    assert found is not None
    assert len(found.removed) == min(map(len, changing))
    assert found.removed in changing
    assert (found.verified, found.exact, found.leader) == (True, True, leader)
    assert found.replacement == person.rank(rows_without(PLACES, [found.removed])).items[0, 0] != leader


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_without_a_budget_it_still_replaces_the_leader_and_needs_each_of_its_items(seed):
    person = as_if(seed)
    ranked, places = person.rank(), used_places(person.past)

    found = counterfactual(ranked, places, person.leads, budget=0)

    if found is not None:
        assert found.verified
        assert person.leads([found.removed])[0] == found.replacement != found.leader
        fewer = [c for size in range(1, len(found.removed)) for c in combinations(found.removed, size)]
        subsets = [c for c in fewer if len(c) in {1, len(found.removed) - 1}]
        assert all(person.leads([each])[0] == found.leader for each in subsets)
        smaller = [c for size in range(1, len(found.removed)) for c in combinations(places.tolist(), size)]
        if found.exact:
            assert all(person.leads([each])[0] == found.leader for each in smaller)


def test_some_sets_of_that_test_have_more_than_one_item():
    sizes = []
    for seed in range(60):
        person = as_if(seed)
        found = counterfactual(person.rank(), used_places(person.past), person.leads, budget=0)
        sizes.append(len(found.removed) if found else 0)
    assert max(sizes) >= 2
    assert sum(size > 0 for size in sizes) > 20


def test_of_nobody_nothing_can_be_taken_out():
    person = as_if(1)
    assert counterfactual(person.rank(), np.empty(0, np.int64), person.leads) is None


def test_what_is_taken_out_leaves_no_gap_and_ages_count_from_the_newest_left():
    question = Question(
        np.array([[5, 6, 7, -1]], np.int32), np.array([[1.0, 2.0, 3.0, 0.0]]), np.array([[5]], np.int32),
        np.array([NOW_MS]), np.array([10.0]), np.array([[1, 2, 3]]),
        np.array([[0.0, 60.0, 100.0, 0.0]]),
    )  # fmt: skip
    past = Past(question, PastTexts(np.array([[5, -2, 7, -1]]), np.ones((1, 2), np.float32)))

    left = without(past, rows_without(4, [(), (0,), (1,), (0, 1, 2)]))

    assert left.question.history.tolist() == [[5, 6, 7, -1], [6, 7, -1, -1], [5, 7, -1, -1], [-1] * 4]
    assert left.question.gains.tolist() == [[1, 2, 3, 0], [2, 3, 0, 0], [1, 3, 0, 0], [0] * 4]
    assert left.question.ages_s.tolist() == [[0, 60, 100, 0], [0, 40, 0, 0], [0, 100, 0, 0], [0] * 4]
    assert left.question.idle_s.tolist() == [10, 70, 10, 10]
    assert left.question.excluded.tolist() == [[5]] * 4
    assert left.texts.row.tolist() == [[5, -2, 7, -1], [-2, 7, -1, -1], [5, 7, -1, -1], [-1] * 4]


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.booleans())
def test_the_score_of_one_item_is_the_one_in_the_list(seed, texts):
    person = as_if(seed, texts)
    ranked = person.rank()
    whole = np.zeros((1, PLACES), np.bool_)
    for item, score in zip(ranked.items[0].tolist(), ranked.scores[0].tolist(), strict=True):
        if item >= 0:
            assert person.scores(whole, item)[0] == pytest.approx(score, abs=1e-5)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.booleans())
def test_with_nothing_taken_out_the_list_is_the_one_that_serves(seed, texts):
    person = as_if(seed, texts)
    world = person.inputs
    served = rank(
        person.past.question, catalog=world.catalog, stats=world.stats, priors=world.priors, params=world.params,
        semantics=person.text(),
    )  # fmt: skip

    found = person.rank()

    assert found.items.tolist() == served.items.tolist()
    assert found.contributions.tolist() == served.contributions.tolist()


def test_some_pasts_of_that_test_have_a_place_whose_gains_cancel_before_one_that_counts():
    gains = [as_if(seed).past.question.gains[0] for seed in range(60)]
    assert sum(bool(np.any((each[:-1] == 0.0) & (each[1:] != 0.0))) for each in gains) > 10

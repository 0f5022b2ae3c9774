"""How much of an explanation stays: ranks by hand, and histories with one item less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from what_if_world import as_if

from models.evaluation.stability import mid_ranks, rank_correlation, top_overlap
from models.reasons.removal import rows_without, used_places
from stream.analysis.reasons.stability import PERTURBATIONS, Perturbed, perturb, stability_of

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=12)


def test_equal_values_share_the_mean_of_their_ranks():
    assert mid_ranks(np.array([3.0, 1.0, 3.0, 0.0, 1.0, 3.0])).tolist() == [4, 1.5, 4, 0, 1.5, 4]


def test_spearmans_correlation_by_hand():
    # Without ties: 1 - 6 sum of d^2 / (n (n^2 - 1)); d = 0, 1, 1, 0.
    one, other = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 99.0])
    assert rank_correlation(one, other) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation(one, -other) == pytest.approx(-(1 - 6 * 2 / (4 * 15)))


def test_what_has_no_order_has_no_correlation():
    assert rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])) is None
    assert rank_correlation(np.array([1.0]), np.array([1.0])) is None
    with pytest.raises(ValueError, match="2 and of 3"):
        rank_correlation(np.zeros(2), np.zeros(3))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(VALUES, st.randoms(use_true_random=False))
def test_only_the_order_counts(values, random):
    one = np.array(values)
    other = np.array([random.choice(values) for _ in values])
    found = rank_correlation(one, other)
    assert rank_correlation(np.exp(one), other**3) == pytest.approx(found)
    if found is not None:
        assert -1 <= found <= 1
        assert rank_correlation(one, one) == pytest.approx(1.0)


def test_the_overlap_is_of_the_first_and_of_as_many_as_there_are():
    assert top_overlap(np.array([4.0, 3.0, 2.0, 1.0]), np.array([4.0, 1.0, 2.0, 3.0]), 2) == 0.5
    assert top_overlap(np.array([2.0, 1.0]), np.array([1.0, 2.0]), 3) == 1.0
    assert top_overlap(np.zeros(0), np.zeros(0), 3) == 1.0


@pytest.mark.parametrize("seed", range(12))
def test_contributions_are_compared_item_by_item_after_the_drop(seed):
    person = as_if(seed, texts=True, top_k=50)
    ranked, places = person.rank(), used_places(person.past)
    if len(places) < 3:
        pytest.skip("too short a history")
    leader = int(ranked.items[0, 0])

    found = perturb(person, ranked, places, np.random.default_rng(seed))["without_unrelated"]

    told = dict(zip(person.past.question.history[0].tolist(), ranked.contributions[0, 0].tolist(), strict=True))
    dropped = min(places.tolist(), key=lambda place: (abs(ranked.contributions[0, 0, place]), -place))
    row = rows_without(person.past.question.history.shape[1], [(dropped,)])
    again = person.rank(row)
    at = again.items[0].tolist().index(leader)
    history = np.delete(person.past.question.history[0], dropped).tolist()
    after = dict(zip(history, again.contributions[0, at].tolist(), strict=False))
    stay = [int(person.past.question.history[0, place]) for place in places if place != dropped]
    assert isinstance(found, Perturbed)
    expected = rank_correlation(np.array([told[item] for item in stay]), np.array([after[item] for item in stay]))
    assert found.correlation == (None if expected is None else pytest.approx(expected))


def test_the_report_is_the_mean_of_those_whose_leader_is_still_listed():
    first = {PERTURBATIONS[0]: Perturbed(0.5, 1.0), PERTURBATIONS[1]: None}
    second = {PERTURBATIONS[0]: Perturbed(1.0, 0.5), PERTURBATIONS[1]: Perturbed(None, 0.25)}

    found = stability_of([True, False], [first, second])

    assert found["repeated"] == 0.5
    one, other = (found[name] for name in PERTURBATIONS)
    assert (one["rank_correlation"], one["same_first_3"], one["leader_listed"]) == (0.75, 0.75, 1.0)
    assert (other["rank_correlation"], other["same_first_3"], other["leader_listed"]) == (None, 0.25, 0.5)

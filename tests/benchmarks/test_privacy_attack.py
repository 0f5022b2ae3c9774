"""The attackers of `benchmarks.privacy` find what there is to find, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.privacy_attack import World, auc, knows_all_but_one, reads_lists
from models.privacy.bounds import Contribution
from models.privacy.contribution import Engagements, PublicPairs
from models.privacy.release import exact_budget

PEOPLE, N_ITEMS = 200, 1000


def world():
    """Everybody has items of their own, so every pair of theirs is theirs alone."""
    user = np.repeat(np.arange(PEOPLE), 5) + 100
    item = np.arange(PEOPLE * 5)
    pairs = PublicPairs(np.arange(0, PEOPLE * 5, 5), np.arange(0, PEOPLE * 5, 5) + 1)
    return World(Engagements(user, item, np.zeros(len(user), np.int64)), pairs, N_ITEMS)


def test_auc_is_how_often_the_one_who_took_part_scores_higher_and_ties_are_half():
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])).auc == 1.0
    assert auc(np.array([1.0, 3.0]), np.array([2.0, 0.0])).auc == 0.75
    assert auc(np.ones(4), np.ones(4)).auc == 0.5


def test_without_noise_both_attackers_are_always_right():
    rng, targets = np.random.default_rng(0), np.arange(PEOPLE) + 100
    budget = exact_budget(Contribution(3, 3, 16), 2)
    assert knows_all_but_one(world(), budget, targets, rng).auc == 1.0
    assert reads_lists(world(), None, targets, rng).auc == 1.0


def test_with_noise_far_above_what_a_person_adds_they_guess():
    pytest.importorskip("opendp", reason="needs the extra privacy (OpenDP)")
    rng, targets = np.random.default_rng(0), np.arange(PEOPLE) + 100
    budget = exact_budget(Contribution(3, 3, 16), 2)._replace(scale=1e6)
    found = knows_all_but_one(world(), budget, targets, rng)
    assert abs(found.auc - 0.5) < 6 * 0.041, "six standard errors of 100 against 100"

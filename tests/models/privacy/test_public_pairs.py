"""Pairs that may be counted follow from public texts alone."""

from __future__ import annotations

import numpy as np

from models.privacy.public_pairs import near_pairs


def unit(*angles):
    return np.array([[np.cos(a), np.sin(a)] for a in angles], np.float32)


def test_each_item_has_its_nearest_one_and_every_pair_stands_once():
    found = near_pairs(unit(0.0, 0.1, 1.0, 1.25), 1)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 1), (2, 3)]


def test_an_item_without_a_text_is_in_no_pair():
    vectors = np.vstack((unit(0.0), np.zeros((1, 2), np.float32), unit(0.1)))
    found = near_pairs(vectors, 5)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 2)]


def test_one_text_or_none_makes_no_pair():
    assert not len(near_pairs(unit(0.0), 3).first)
    assert not len(near_pairs(np.zeros((4, 2), np.float32), 3).first)


def test_more_items_than_are_looked_at_in_one_go_are_all_looked_at():
    angles = np.linspace(0, 1, 2100)
    found = near_pairs(unit(*angles), 1)
    assert set(found.first.tolist()) | set(found.second.tolist()) == set(range(2100))

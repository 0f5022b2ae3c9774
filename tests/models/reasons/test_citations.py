"""Each behaviour that a list cites is numbered once, in the order in which it is first cited."""

from __future__ import annotations

import numpy as np

from models.reasons.citations import citations_of
from models.reasons.contributions import Contributions


def cited(users, *causes):
    columns = (np.array([cause[i] for cause in causes], np.int64) for i in range(3))
    return citations_of(Contributions(*columns, np.ones(len(causes))), users, 8)


def test_behaviours_are_numbered_in_the_order_of_citation_and_each_list_has_its_own():
    found = cited(3, (0, 0, 5), (0, 0, 2), (0, 1, 2), (0, 1, 7), (2, 0, 2))
    assert found.behaviour.tolist() == [5, 2, 7, 2]
    assert found.user.tolist() == [0, 0, 0, 2]
    assert found.cited.tolist() == [0, 1, 1, 2, 3]
    assert found.start.tolist() == [0, 3, 3, 4]


def test_lists_that_nothing_caused_cite_nothing():
    assert [each.tolist() for each in cited(2)] == [[], [], [], [0, 0, 0]]
    assert cited(0).start.tolist() == [0]

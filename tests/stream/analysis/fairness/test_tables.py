"""Which list somebody had when they took something."""

from __future__ import annotations

from fairness_lists import T0, collected, one_list, shop, take

from stream.analysis.fairness.tables import NO_LIST, tables


def test_an_engagement_was_made_before_the_list_that_knows_it():
    found = collected()
    take(found, "p", "a", T0)
    take(found, "p", "b", T0 + 10)
    take(found, "p", "c", T0 + 11)
    found.add_list(one_list("p", T0 + 10, "cd"))
    found.add_list(one_list("p", T0, "bc"))

    made = tables(found)

    assert made.list_ms.tolist() == [T0, T0 + 10]
    assert made.taken_list.tolist() == [NO_LIST, 0, 1]
    assert made.taken_before.tolist() == [0, 1, 2]


def test_people_without_lists_are_left_out_and_lists_are_padded():
    found = collected()
    shop(found)
    take(found, "nobody", "a", T0)
    found.add_list(one_list("p", T0 + 99, "a"))

    made = tables(found)

    assert len(made.people) == 2
    assert made.listed.shape == (3, 4)
    assert (made.listed[1] >= 0).tolist() == [True, False, False, False]
    assert made.takers.sum() == 4

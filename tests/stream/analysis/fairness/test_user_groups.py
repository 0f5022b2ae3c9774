"""How people are parted."""

from __future__ import annotations

import numpy as np
from fairness_lists import T0, collected, one_list, shop, take

from stream.analysis.fairness.tables import tables
from stream.analysis.fairness.user_groups import user_groups
from stream.wire.records import Item


def test_people_are_parted_by_device_language_and_what_they_had_before():
    found = collected()
    shop(found)
    found.add_item(Item("a", "a", language="de"), None)
    take(found, "r", "c", T0)
    found.add_list(one_list("r", T0, "ab"))
    made = tables(found)

    groups = user_groups(made, np.zeros(len(made.taken_item), np.int64))

    assert groups["device"].names == ("desk", "phone", "others", "not known")
    assert groups["device"].of_user.tolist() == [1, 0, 3]
    assert groups["language"].names[groups["language"].of_user[0]] == "de"
    assert groups["language"].names[groups["language"].of_user[2]] == "not known"
    assert groups["history"].of_taken.tolist() == [0, 1, 0, 1, 0]
    assert groups["history"].of_user.tolist() == [1, 1, 1]
    assert "week" not in groups


def test_fifths_of_activity_hold_as_many_people_each_and_equal_ones_are_together():
    found = collected()
    for n in range(10):
        for k in range(n + 1):
            take(found, f"u{n}", f"i{k}", T0)
        found.add_list(one_list(f"u{n}", T0, "ab"))
    made = tables(found)
    none = np.zeros(len(made.taken_item), np.int64)

    assert np.bincount(user_groups(made, none)["activity"].of_user).tolist() == [2] * 5

    for each in found.people.values():
        each.events = 3
    assert set(user_groups(tables(found), none)["activity"].of_user.tolist()) == {0}

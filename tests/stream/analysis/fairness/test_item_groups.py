"""How items are parted."""

from __future__ import annotations

import numpy as np
import pytest
from fairness_lists import DAY_MS, T0, collected, one_list, shop

from models.hashing import item_hash
from stream.analysis.fairness.item_groups import item_groups
from stream.analysis.fairness.tables import tables
from stream.errors import UsageError
from stream.wire.records import Item

ASKED = {"new_ms": 20 * DAY_MS, "supplier": None, "categories": ()}


def parted(found, name, **asked):
    """Of items a to d."""
    made = tables(found)
    groups = item_groups(made, **ASKED | asked)[name]
    rows = np.argsort(np.argsort([item_hash(each) for each in "abcd"]))
    return groups.names, groups.of(rows, np.full(4, T0)).tolist()


def test_age_is_that_at_the_moment_of_the_list():
    found = collected()
    shop(found)

    names, of = parted(found, "age")

    assert names == ("new", "old", "not known")
    assert of == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]


def test_the_fewest_suppliers_that_have_half_of_the_items_are_large():
    found = collected()
    shop(found)

    names, of = parted(found, "supplier")

    assert names == ("large brand", "small brand", "not known")
    assert of == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_prices_stand_in_quarters_and_categories_in_equal_shares():
    found = collected()
    shop(found)
    found.add_item(Item("d", "d", ("toys", "tools"), price=9.0), None)

    assert [row.index(1.0) for row in parted(found, "price")[1]] == [0, 1, 2, 3]
    names, of = parted(found, "category")
    assert names == ("tools", "toys", "others", "not known")
    assert of[3] == [0.5, 0.5, 0.0, 0.0]


def test_categories_may_be_named_and_what_is_not_there_is_refused():
    found = collected()
    shop(found)

    names, of = parted(found, "category", categories=("TO?L*",))
    assert names == ("tools", "others", "not known")
    assert of[0] == [0.0, 1.0, 0.0]
    with pytest.raises(UsageError, match=r"No category of the catalogue is 'toyz', as --categories says\."):
        parted(found, "category", categories=("toyz",))
    with pytest.raises(UsageError, match="No item has the attribute 'shelf' of --supplier; there are: brand"):
        parted(found, "supplier", supplier="shelf")


def test_what_the_catalogue_says_nothing_of_is_not_parted():
    found = collected()
    found.add_list(one_list("p", T0, "ab"))

    assert list(item_groups(tables(found), **ASKED)) == ["popularity"]

"""Conditions: what they mean, and that nothing else is let in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.items.catalog import CatalogItem
from stream.errors import UsageError
from stream.rules.conditions import ItemColumns, evaluate, parse

NOW_MS = 1_700_000_000_000
ITEMS = [
    CatalogItem("wine-1", "Red wine", ("wine", "red"), language="en", price=12.5, published_at_ms=NOW_MS - 3_600_000,
                attributes=(("brand", "Château"), ("colour", "red"))),
    CatalogItem("tea", "Green tea; (select", ("tea",), language="zh", price=None),
    CatalogItem("it's", "It's", (), price=0.0, available=False, published_at_ms=NOW_MS - 100 * 3_600_000,
                attributes=(("brand", "x"),)),
]  # fmt: skip


def means(sql, items=ITEMS, popularity=(5.0, 0.0, 100.0)):
    return evaluate(parse("r", sql), ItemColumns(items, np.array(popularity), NOW_MS)).tolist()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("price > 0.5", [True, False, False]),
        ("NOT (price > 0.5)", [False, False, True]),
        ("price IS NULL", [False, True, False]),
        ("array_contains(categories, 'wine')", [True, False, False]),
        ("'tea' = ANY(categories)", [False, True, False]),
        ("item_id IN ('tea', 'it''s')", [False, True, True]),
        ("title LIKE 'Red%' OR language = 'zh'", [True, True, False]),
        ("title = 'Green tea; (select'", [False, True, False]),
        ("attributes.brand = 'Château'", [True, False, False]),
        ("attributes.none IS NULL", [True, True, True]),
        ("age_h < 48", [True, False, False]),
        ("popularity >= 5 AND available", [True, False, False]),
        ("CASE WHEN price > 1 THEN true ELSE false END", [True, False, False]),
        ("lower(title) LIKE '%wine%'", [True, False, False]),
        ("published_at IS NOT NULL", [True, False, True]),
    ],
)
def test_what_a_condition_means(sql, expected):
    assert means(sql) == expected


def test_what_changes_by_itself_is_known():
    assert parse("r", "age_h < 2").moves
    assert parse("r", "popularity > 2 and price > 1").moves
    assert not parse("r", "title = 'popularity'").moves


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("titel = 'x'", "column `titel`"),
        ("price > 0; DROP TABLE x", "has a `;`"),
        ("(SELECT 1)", "`SELECT`"),
        ("item_id IN (SELECT item_id FROM x)", "`SELECT`"),
        ("read_csv('/etc/passwd')", "function `read_csv`"),
        ("price > avg(price)", "function `avg`"),
        ("count(*) > 1", "function `count`"),
        ("random() > 0.5", "function `random`"),
        ("price", "true or false"),
        ("1", "true or false"),
        ("1 = 1", "true or false"),
        ("", "cannot be read"),
        ("price >", "cannot be read"),
        ("price > 'x'", "cannot be told"),
        ("x.y = 2", "column `x`"),
        ("attributes = 'x'", "cannot be told"),
        ("(" * 200 + "price > 1" + ")" * 200, "more than 16 brackets"),
        ("title = '\x00'", "NUL"),
        ("price > 1 -- comment", "`comment`"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(sql, says):
    with pytest.raises(UsageError) as refused:
        parse("no-wine", sql)

    assert "'no-wine'" in refused.value.message
    assert says in refused.value.message
    assert "\n" not in str(refused.value)


WORDS = [*"(),[]'=>1-*.", "price", "AND", "NOT", "item_id", "IN", "categories", "any", "lower"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_condition_or_refused(sql):
    try:
        found = means(sql)
    except (UsageError, ValueError):  # of which the latter is of a condition that cannot be told of an item
        return
    assert len(found) == len(ITEMS)


def test_items_are_told_of_one_by_one_and_together():
    rng = np.random.default_rng(0)
    items = [
        CatalogItem(f"i{n}", f"T{n}", ("a",) * int(rng.integers(0, 2)), price=float(rng.integers(0, 9)))
        for n in range(50)
    ]
    condition = parse("r", "price > 3 AND array_contains(categories, 'a') OR title LIKE '%7'")
    together = evaluate(condition, ItemColumns(items, np.zeros(50), 0)).tolist()

    assert together == [bool(evaluate(condition, ItemColumns([each], np.zeros(1), 0))[0]) for each in items]
    assert evaluate(condition, ItemColumns([], np.zeros(0), 0)).tolist() == []

"""Rules in force: masks against plain Python, items that change, shares, caps, pins, what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from stream.rules import marks
from stream.rules.active import LOOK_AGAIN_MS, ActiveRules, is_in_share
from stream.rules.marks import ITEMS_AT_ONCE, Seen
from stream.rules.rule import rule_of, to_json

N = 40


class Shop:
    def __init__(self, slots=5, n=N):
        self.catalog = Catalog.empty(ItemIndex())
        self.popularity = np.arange(n, dtype=float)
        self.rules, self.slots, self.now_ms = ActiveRules(), slots, 0
        self.put(*(self.item(i) for i in range(n)))

    @staticmethod
    def item(i, **changes):
        told = {"categories": (f"c{i % 4}", f"d{i % 7}"), "price": float(i), "attributes": (("brand", f"b{i % 3}"),)}
        return CatalogItem(f"i{i}", f"T{i}", **told | changes)

    def put(self, *items):
        self.catalog = self.catalog.apply({item.item_id: item for item in items})
        self.rules.items_changed(self.rows(*(item.item_id for item in items)))

    def rows(self, *ids):
        return self.catalog.index.lookup(np.array([item_hash(i) for i in ids], np.uint64)).astype(np.int64)

    def say(self, whole=True, **rules):
        for name, given in rules.items():
            self.rules.book.add(f"rule/{name}".encode(), None if given is None else to_json(rule_of(name, given)))
        return self.look(whole)

    @property
    def seen(self):
        return Seen(self.catalog, self.popularity, self.now_ms)

    def look(self, whole=True):
        return self.rules.look(self.seen, whole=whole)

    def scope(self, key=b"u"):
        return self.rules.scope(self.rules.rules_of(key), self.seen, self.slots)

    def allowed(self, key=b"u"):
        allowed = self.scope(key).allowed
        return {self.catalog.id_of(row) for row in range(N) if allowed is None or allowed[row]}


def ids(*numbers):
    return {f"i{n}" for n in numbers}


def test_without_rules_everything_is_allowed_and_nothing_is_placed():
    scope = Shop().scope()
    assert scope.allowed is None
    assert not scope.placing.boost.any()
    assert len(scope.placing.pin_place) == len(scope.placing.cap) == 0


def test_filter_and_deny():
    shop = Shop()
    c1 = {"kind": "deny", "where": "array_contains(categories, 'c1')"}
    assert shop.say(cheap={"kind": "filter", "where": "price < 20"}, c1=c1)
    assert shop.allowed() == ids(*(n for n in range(20) if n % 4 != 1))
    assert shop.say(cheap=None)
    assert shop.allowed() == ids(*(n for n in range(N) if n % 4 != 1))


def test_where_and_items_both_hold():
    shop = Shop()
    shop.say(no={"kind": "deny", "where": "price < 5", "items": ["i1", "i9", "nobody"]})
    assert shop.allowed() == ids(*(n for n in range(N) if n != 1))


def test_an_item_that_changes_is_forbidden_until_it_was_looked_at():
    shop = Shop()
    shop.say(no={"kind": "deny", "where": "price > 100"})
    shop.put(shop.item(3, price=500.0), shop.item(N))
    assert "i3" not in shop.allowed()
    assert not shop.look()  # no news of the rules
    assert "i3" not in shop.allowed()
    assert shop.scope().allowed[shop.rows(f"i{N}")[0]]
    shop.put(shop.item(3))
    shop.look()
    assert "i3" in shop.allowed()


def test_a_new_rule_counts_once_all_items_were_looked_at():
    shop = Shop(n=5000)
    assert not shop.say(whole=False, no={"kind": "deny", "where": "price < 3000"})
    assert shop.scope().allowed is None
    assert not shop.look(whole=False)
    assert shop.look(whole=False)
    assert shop.scope().allowed.sum() == 2000


def test_a_filter_that_leaves_less_than_a_list_is_left_out_and_named_a_deny_never_is():
    shop = Shop(slots=5)
    shop.say(
        a={"kind": "filter", "where": "price < 10"}, b={"kind": "filter", "where": "price > 7"},
        c={"kind": "filter", "where": "price < 8"}, deny={"kind": "deny", "where": "price < 2"},
    )  # fmt: skip
    assert shop.allowed() == ids(*range(2, 10))
    assert shop.scope().relaxed == ("rule:b", "rule:c")
    shop.say(deny={"kind": "deny", "where": "price >= 0"})
    assert shop.allowed() == set()


def test_boosts_add_up_and_the_strongest_is_named():
    shop = Shop()
    shop.say(
        a={"kind": "boost", "where": "price < 3", "add": 1.0}, b={"kind": "boost", "where": "price < 2", "add": -2.5},
        out={"kind": "deny", "items": ["i0"]},
    )  # fmt: skip
    scope = shop.scope()
    assert scope.placing.boost[:4].tolist() == [0.0, -1.5, 1.0, 0.0]
    assert [scope.rules[n] if n >= 0 else "" for n in scope.placing.boosted_by[:4].tolist()] == ["", "b", "a", ""]
    assert {shop.catalog.id_of(row) for row in scope.proposed} == ids(1, 2)


def test_promotions_and_pins():
    shop = Shop()
    shop.say(
        p={"kind": "promote", "where": "price > 30", "least": 2}, x={"kind": "pin", "items": ["i7"], "place": 3},
        y={"kind": "pin", "items": ["i8"], "place": 3}, z={"kind": "pin", "items": ["nobody"], "place": 1},
    )  # fmt: skip
    placing = shop.scope().placing
    assert (placing.promoted >= 0).sum() == 9
    assert placing.least.max() == 2
    assert placing.pin_place.tolist() == [0, 2]
    assert [shop.catalog.id_of(row) for row in placing.pin_item] == [None, "i7"]
    shop.put(shop.item(7, available=False))
    shop.look()
    assert shop.scope().placing.pin_item.tolist() == [-1, -1]


def test_caps_count_categories_and_attributes():
    shop = Shop()
    shop.say(
        cat={"kind": "cap", "by": "category", "most": 2}, brand={"kind": "cap", "by": "attributes.brand", "most": 3}
    )
    placing = shop.scope().placing
    assert sorted(set(placing.cap.tolist())) == [2, 3]
    assert len(placing.cap) == 4 + 7 + 3
    of = placing.groups[5]
    assert (of >= 0).sum() == 3
    same = [
        row
        for row in range(N)
        if set(of[of >= 0].tolist()) & set(placing.groups[row][placing.groups[row] >= 0].tolist())
    ]
    assert same == [row for row in range(N) if row % 4 == 1 or row % 7 == 5 or row % 3 == 2]


def test_shares_are_of_always_the_same_people():
    shop = Shop()
    shop.say(half={"kind": "deny", "where": "price < 5", "share": 0.5})
    people = [f"u{n}".encode() for n in range(400)]
    in_it = [key for key in people if shop.rules.rules_of(key)]
    assert 150 < len(in_it) < 250
    assert in_it == [key for key in people if is_in_share(key, "half", 0.5)]
    assert shop.rules.has_shares
    assert {key for key in people if is_in_share(key, "half", 0.3)} < set(in_it)


def test_time_decides():
    shop = Shop()
    shop.say(no={"kind": "deny", "where": "price < 5", "valid_from": "1970-01-01T01:00:00Z"})
    assert shop.scope().allowed is None
    shop.now_ms = 3_600_000
    assert shop.look()  # so that lists are made again
    assert len(shop.allowed()) == N - 5
    assert not shop.look()


def test_what_moves_is_looked_at_again():
    shop = Shop()
    shop.say(no={"kind": "deny", "where": "popularity < 10"})
    assert len(shop.allowed()) == N - 10
    shop.popularity = shop.popularity + 5
    assert not shop.look()
    shop.now_ms += LOOK_AGAIN_MS
    assert shop.look()
    assert len(shop.allowed()) == N - 5
    shop.now_ms += LOOK_AGAIN_MS
    assert not shop.look()


def test_a_new_item_is_no_news_of_what_moves():
    shop = Shop(n=ITEMS_AT_ONCE + 500)
    shop.say(no={"kind": "deny", "where": "popularity < 10 OR age_h > 48"})
    for n in range(3):
        shop.put(shop.item(ITEMS_AT_ONCE + 500 + n))
        shop.now_ms += LOOK_AGAIN_MS
        assert not shop.look(whole=False)
        assert not shop.look(whole=False)
    shop.popularity = np.full(len(shop.popularity), 5.0)
    shop.now_ms += LOOK_AGAIN_MS
    assert shop.look(whole=False)  # the first slice of them
    assert shop.look(whole=False)
    assert not shop.look(whole=False)
    assert not shop.scope().allowed.any()


def test_a_condition_that_cannot_be_told_of_an_item_costs_that_item():
    shop = Shop()
    shop.put(*(shop.item(n, attributes=(("sold", f"2026-01-0{1 + n % 9}"),)) for n in range(N)))
    shop.put(shop.item(7, attributes=(("sold", "soon"),)))
    sold = "date(attributes.sold) > date('2026-01-05')"
    shop.say(only={"kind": "filter", "where": sold}, up={"kind": "boost", "where": sold, "add": 1.0})
    late = {n for n in range(N) if n % 9 > 4 and n != 7}
    assert shop.allowed() == ids(*late)
    assert set(np.flatnonzero(shop.scope().placing.boost)) == late
    assert sorted(shop.rules.errors) == ["only", "up"]
    assert "'i7'" in shop.rules.errors["only"]
    shop.say(up=None, only={"kind": "deny", "where": sold})
    assert shop.allowed() == ids(*(n for n in range(N) if n % 9 <= 4 and n != 7))
    assert not shop.rules.forbidden(shop.rows("i0"))[0]
    assert shop.rules.forbidden(shop.rows("i7", "i8")).all()


def test_where_a_condition_can_be_told_of_hardly_any_item_looking_takes_no_longer(monkeypatch):
    shop, asked = Shop(n=ITEMS_AT_ONCE), []
    shop.put(*(shop.item(n, attributes=(("sold", "soon"),)) for n in range(0, ITEMS_AT_ONCE, 2)))
    evaluate = marks.evaluate
    monkeypatch.setattr(marks, "evaluate", lambda *given: asked.append(1) or evaluate(*given))
    shop.say(no={"kind": "deny", "where": "date(attributes.sold) > date('2026-01-05')"})
    assert len(asked) <= marks.EVALUATIONS_MAX
    assert not any(shop.catalog.item(n).attributes[0][1] == "soon" and shop.scope().allowed[n] for n in range(N))
    asked.clear()
    shop.put(shop.item(1))
    shop.look()
    assert len(asked) == 1  # the others are not tried again with each item that changes


@pytest.mark.parametrize("seed", range(6))
def test_no_forbidden_item_while_everything_changes(seed):
    rng = np.random.default_rng(seed)
    shop = Shop(slots=1)
    kept = {}
    for _ in range(60):
        if rng.random() < 0.5:
            i = int(rng.integers(0, N))
            shop.put(shop.item(i, price=float(rng.integers(0, 50)), available=bool(rng.random() < 0.9)))
        else:
            name = f"r{rng.integers(0, 4)}"
            bound = None if rng.random() < 0.3 else int(rng.integers(0, 40))
            kept[name] = bound
            shop.say(whole=True, **{name: None if bound is None else {"kind": "deny", "where": f"price = {bound}"}})
        if rng.random() < 0.5:
            shop.look(whole=bool(rng.random() < 0.5))
        forbidden = {float(bound) for bound in kept.values() if bound is not None}
        allowed = shop.scope().allowed
        for row in range(N):
            item = shop.catalog.item(row)
            if (allowed is None or allowed[row]) and item is not None:
                assert item.price not in forbidden

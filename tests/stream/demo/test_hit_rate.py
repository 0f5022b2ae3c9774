"""Hit rates by hand, and against a slow computation that sees everything at once."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from stream.demo.hit_rate import HitRate, HitRates, Popularity


def test_a_purchase_is_judged_by_the_list_published_before_it_and_by_popularity_before_it():
    rates = HitRates((1, 2))
    rates.buy("ann", "a")  # nobody has a list, nothing is popular
    rates.publish("ann", ["c", "b"])
    rates.buy("bob", "a")  # no list; popularity: a
    rates.buy("ann", "b")  # list: second place; popularity without ann's a: nothing
    rates.buy("ann", "c")  # list: first place; popularity without ann's a, b: nothing
    rates.publish("bob", ["a", "d"])
    rates.buy("bob", "c")  # list: no; popularity without bob's a: b, c

    assert rates.result() == (
        HitRate(1, questions=5, with_list=3, list_hits=1, popularity_hits=1, popularity_hits_with_list=0),
        HitRate(2, questions=5, with_list=3, list_hits=2, popularity_hits=2, popularity_hits_with_list=1),
    )


def test_an_item_bought_before_is_no_question_but_makes_it_more_popular():
    rates = HitRates((1,))
    for user, item in (("ann", "a"), ("ann", "b"), ("ann", "b"), ("bob", "b")):
        rates.buy(user, item)

    (at_1,) = rates.result()

    assert (at_1.questions, at_1.popularity_hits) == (3, 1)  # of a, b and bob's b; b was on top with 2 when bob came


def test_an_empty_list_is_a_list_and_an_erased_one_is_none():
    rates = HitRates((1,))
    rates.publish("ann", [])
    rates.buy("ann", "a")
    rates.publish("ann", None)
    rates.buy("ann", "b")

    (at_1,) = rates.result()

    assert (at_1.questions, at_1.with_list, at_1.list_hits) == (2, 1, 0)


def test_the_shares_say_what_they_are_divided_by_and_nothing_asked_is_zero():
    rate = HitRate(10, questions=8, with_list=4, list_hits=2, popularity_hits=3, popularity_hits_with_list=1)
    nothing = HitRate(10, 0, 0, 0, 0, 0)

    assert (rate.of_lists, rate.of_lists_all, rate.of_popularity, rate.of_popularity_all) == (0.5, 0.25, 0.25, 0.375)
    assert (nothing.of_lists, nothing.of_lists_all, nothing.of_popularity, nothing.of_popularity_all) == (0, 0, 0, 0)


def test_of_equally_popular_items_the_one_bought_earlier_stands_first():
    popularity = Popularity()
    for item in ("x", "y", "z", "z", "y"):
        popularity.add(item)

    assert popularity.top(3) == ["y", "z", "x"]
    assert popularity.top(2, {"z"}) == ["y", "x"]
    assert [popularity.place("x", n) for n in (1, 2, 3)] == [None, None, 2]
    assert popularity.place("x", 2, {"y"}) == 1
    assert popularity.place("y", 3, {"y"}) is None


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_gives_what_counting_everything_again_gives(seed: int):
    pick = random.Random(seed)
    items, users = [f"i{n}" for n in range(40)], [f"u{n}" for n in range(6)]
    rates, log = HitRates((3, 7)), []
    for _ in range(600):
        user = pick.choice(users)
        if pick.random() < 0.2:
            log.append((user, tuple(pick.sample(items, pick.randint(0, 9)))))
            rates.publish(*log[-1])
        else:
            log.append((user, items[min(39, int(pick.expovariate(0.1)))]))
            rates.buy(*log[-1])

    assert rates.result() == tuple(_by_counting(log, cutoff) for cutoff in (3, 7))


def _by_counting(log: list[tuple[str, str | tuple[str, ...]]], cutoff: int) -> HitRate:
    """Looks back through the whole log for each purchase."""
    questions = with_list = list_hits = popularity_hits = popularity_hits_with_list = 0
    for n, (user, item) in enumerate(log):
        before = log[:n]
        mine = {other for who, other in before if who == user and isinstance(other, str)}
        if isinstance(item, tuple) or item in mine:
            continue
        lists = [other for who, other in before if who == user and isinstance(other, tuple)]
        counts = Counter(other for _, other in before if isinstance(other, str))  # keeps the order of first purchase
        popular = [other for other in sorted(counts, key=lambda other: -counts[other]) if other not in mine][:cutoff]
        questions += 1
        with_list += bool(lists)
        list_hits += bool(lists) and item in lists[-1][:cutoff]
        popularity_hits += item in popular
        popularity_hits_with_list += bool(lists) and item in popular
    return HitRate(cutoff, questions, with_list, list_hits, popularity_hits, popularity_hits_with_list)

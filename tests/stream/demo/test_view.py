"""The demo's shoppers and screen, without a terminal."""

from __future__ import annotations

import io

import pytest
from reason_records import reasons_record
from rich.console import Console

from stream.demo.shoppers import HOLD_S, Shopper, Shoppers, choose_shoppers
from stream.demo.tally import Figures, Purchase
from stream.demo.throttle import Throttle
from stream.demo.view import View, draw, line, story
from stream.files.reading import FileRecord
from stream.wire.reasons import Explanation, RecommendationAttribution
from stream.wire.records import EventSource, ModelVersions, Recommendation, RecommendedItem, encode

FIGURES = Figures(1234, 56, 78, 1560, 900, 21, {"not_json": 1}, 85.0, 250.0, 78, (), 0, 0, 0, 0, 0)


def a_list(items: str, event_time_ms: int = 1, list_id: str = "list") -> Recommendation:
    places = tuple(RecommendedItem(item, n, 1.0, 0.1, "interest", 1.0, {}) for n, item in enumerate(items, 1))
    model = ModelVersions(None, None, "additive-1")
    return Recommendation(list_id, "ann", 0, event_time_ms, EventSource("t", 0, 0), "event", model, places)


def a_reason(item: str, list_id: str = "list") -> RecommendationAttribution:
    why = Explanation(f"Because {item}.", f"因为{item}。")
    return RecommendationAttribution(list_id, "ann", item, 1, 1.0, (), 0.0, "exact", why, 0.0)


def changed_shopper(chinese: bool = False) -> Shopper:
    """Has bought a and then b, which was third in the list abc between; the list is now cad."""
    shopper = Shopper("ann", chinese)
    shopper.bought(Purchase("ann", "x", 1))
    shopper.listed(a_list("acb"))
    shopper.card(0.0)
    shopper.bought(Purchase("ann", "b", 2))
    shopper.listed(a_list("cad", 2, "second"))
    shopper.reasoned(a_reason("c", "second"))
    return shopper


def test_a_card_says_what_was_bought_what_moved_and_why():
    card = changed_shopper().card(HOLD_S)

    assert card.bought == (("b", 3),)
    assert card.left == ()
    assert [(place.item_id, place.moved) for place in card.places] == [("c", 1), ("a", -1), ("d", None)]
    assert [place.reason for place in card.places] == ["Because c.", "", ""]


def test_the_reasons_of_a_list_come_in_one_record_and_one_of_a_later_version_is_passed_over():
    shoppers = Shoppers(["ann"], chinese=False)
    shoppers.bought(Purchase("ann", "x", 1))
    shoppers.listed(a_list("ab"))
    shoppers.reasoned(b"ann", b'{"kind":"reasons","schema_version":3}')
    shoppers.reasoned(b"ann", b'{"kind":"rumour"}')
    assert [place.reason for place in shoppers.cards(0.0)[0].places] == ["", ""]

    shoppers.reasoned(b"ann", encode(reasons_record("list", "ann", ["a", "b"])))

    assert [place.reason for place in shoppers.cards(0.0)[0].places] == ["Because a.", "Because b."]


def test_the_reasons_come_in_chinese_when_asked():
    assert changed_shopper(chinese=True).card(HOLD_S).places[0].reason == "因为c。"


def test_a_card_stays_until_a_person_could_have_read_it():
    shopper = changed_shopper()

    assert shopper.card(HOLD_S - 0.1).version == 1
    assert shopper.card(HOLD_S).version == 2


def test_a_card_waits_for_the_list_that_reflects_the_purchase():
    shopper = Shopper("ann", chinese=False)
    shopper.listed(a_list("abc", event_time_ms=1))
    shopper.bought(Purchase("ann", "x", 2))

    assert shopper.card(100.0).version == 0


def test_an_item_that_was_not_bought_and_is_no_longer_listed_is_gone():
    shopper = changed_shopper()
    shopper.listed(a_list("ab", 2, "third"))

    assert shopper.card(HOLD_S).left == ("c",)


def test_shoppers_to_watch_order_often_but_not_too_much_at_once():
    def orders(user: bytes, n: int, size: int) -> list[FileRecord]:
        return [FileRecord(0, user, b"{}", order, 0) for order in range(n) for _ in range(size)]

    records = orders(b"rare", 2, 4) + orders(b"wholesaler", 16, 80) + orders(b"good", 14, 5) + orders(b"fair", 9, 5)

    assert choose_shoppers(records) == ["good", "fair"]
    assert choose_shoppers(records[:3]) == ["rare"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 12), (40, 8), (200, 60)])
def test_the_screen_fits_any_terminal(width: int, height: int):
    card = changed_shopper().card(HOLD_S)
    titles = {item: f"White Hanging Heart T-Light Holder 白色挂心 {item}" for item in "abcdx"}
    view = View("replaying", 0.5, 1234, 47_257, 61.0, 1_300_000_000_000, 700.0, FIGURES, [card, card], titles)
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)

    console.print(draw(view, width, height - 1))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width
    assert "Penchant" in lines[0]


def test_a_log_line_tells_progress_rate_freshness_and_what_is_left():
    view = View("replaying", 0.5, 1234, 47_257, 30.0, 1_300_000_000_000, 700.0, FIGURES, [], {})

    assert line(view) == (
        "replaying · 50% · 13 Mar 2011 · 1,234 of 47,257 events · 700/s · freshness p50 85 ms, p99 250 ms · 30 s left"
    )


def test_a_story_names_what_was_bought_and_the_first_new_item_with_its_reason():
    card = changed_shopper().card(HOLD_S)

    told = story(card, {"b": "Bag", "d": "Door mat"})

    assert told == "shopper ann bought Bag (was no. 3); new at 3: Door mat (the reason is on its way)"


def test_no_more_than_the_bound_is_ever_in_flight():
    throttle = Throttle([10] * 6, max_records=3, max_bytes=1_000)
    assert [throttle.may_send() for _ in range(4)] == [True, True, True, False]

    throttle.reached(1)
    assert [throttle.may_send() for _ in range(2)] == [True, False]


def test_the_bound_in_bytes_holds_too_but_one_record_may_always_go():
    throttle = Throttle([500, 60, 60, 10], max_records=100, max_bytes=100)

    assert [throttle.may_send() for _ in range(2)] == [True, False]
    throttle.reached(1)
    assert [throttle.may_send() for _ in range(2)] == [True, False]
    throttle.reached(2)
    throttle.reached(0)  # older news
    assert [throttle.may_send() for _ in range(2)] == [True, True]

"""Sentences say only what the numbers say, the same in every language."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reason_reference import explain

from models.items.facts import LATELY, MANY_PEOPLE, NEW, SOMEBODY, THIS_WEEK
from models.vocabulary import ACTIONS
from stream.reasons.ago import DAYS, TODAY, UNTOLD, YESTERDAY
from stream.reasons.language import languages
from stream.reasons.sentence import LEAST_SHARE, MAX_CAUSES, MAX_TITLE, Cause, title_of

COLD = {"co_occurrence": 0.0, "trend": 0.0, "popularity": 0.0}
ALL_FACTS = NEW | THIS_WEEK | LATELY | MANY_PEOPLE | SOMEBODY
SAID = {
    "view": ("viewed “Tea”", "浏览了“Tea”"),
    "click": ("clicked “Tea”", "点击了“Tea”"),
    "like": ("liked “Tea”", "喜欢了“Tea”"),
    "cart": ("put “Tea” in your cart", "把“Tea”加入了购物车"),
    "purchase": ("bought “Tea”", "购买了“Tea”"),
    "query": ("searched for “Tea”", "搜索了“Tea”"),
}


@pytest.mark.parametrize("action", SAID)
def test_every_behaviour_has_its_word_in_both_languages(action):
    english, chinese = SAID[action]
    said = explain([Cause(action, "Tea", 1.0)], COLD)
    assert (said.en, said.zh) == (f"Because you {english}.", f"因为您{chinese}。")
    timed = explain([Cause(action, "Tea", 1.0, YESTERDAY + 19)], COLD)
    assert (timed.en, timed.zh) == (f"Because you {english} yesterday evening.", f"因为您昨晚{chinese}。")


def test_three_causes_are_named_with_their_times_strongest_first():
    causes = [
        Cause("purchase", "Tea", 0.5, YESTERDAY + 20),
        Cause("like", "Pot", 0.3, DAYS + 3),
        Cause("cart", "Cup", 0.2, TODAY + 8),
        Cause("view", "Tray", 0.15),
    ]
    said = explain(causes, COLD)
    assert said.en == (
        "Because you bought “Tea” yesterday evening, liked “Pot” 3 days ago and put “Cup” in your cart this morning."
    )
    assert said.zh == "因为您昨晚购买了“Tea”，3天前喜欢了“Pot”，并且今天早上把“Cup”加入了购物车。"


def test_a_time_that_all_causes_share_is_said_once():
    three = [
        Cause("view", "Tea", 0.5, DAYS + 2),
        Cause("like", "Pot", 0.3, DAYS + 2),
        Cause("like", "Cup", 0.2, DAYS + 2),
    ]
    said = explain(three, COLD)
    assert said.en == "Because you viewed “Tea”, liked “Pot” and liked “Cup” 2 days ago."
    assert said.zh == "因为您2天前浏览了“Tea”，喜欢了“Pot”，并且喜欢了“Cup”。"
    assert explain(three[:2], COLD).en == "Because you viewed “Tea” and liked “Pot” 2 days ago."
    hours = [c._replace(when=TODAY + 12 + n) for n, c in enumerate(three)]
    assert explain(hours, COLD).en == "Because you viewed “Tea”, liked “Pot” and liked “Cup” this afternoon."
    assert explain(hours, COLD).zh == "因为您今天中午浏览了“Tea”，今天下午喜欢了“Pot”，并且今天下午喜欢了“Cup”。"
    for place in range(3):
        mixed = [c._replace(when=DAYS + 3) if n == place else c for n, c in enumerate(three)]
        assert explain(mixed, COLD).en.count("days ago") == 3
        assert explain(mixed, COLD).zh.count("天前") == 3


def test_behaviours_that_differ_in_their_titles_only_share_their_verb():
    three = [Cause("purchase", title, 1.0, DAYS + 2) for title in ("Tea", "Pot", "Cup")]
    said = explain(three, COLD)
    assert said.en == "Because you bought “Tea”, “Pot” and “Cup” 2 days ago."
    assert said.zh == "因为您2天前购买了“Tea”“Pot”和“Cup”。"
    carts = [cause._replace(action="cart", when=UNTOLD) for cause in three[:2]]
    assert explain(carts, COLD).en == "Because you put “Tea” and “Pot” in your cart."
    assert explain(carts, COLD).zh == "因为您把“Tea”和“Pot”加入了购物车。"
    apart = [three[0], three[1]._replace(when=DAYS + 3)]
    assert explain(apart, COLD).en == "Because you bought “Tea” 2 days ago and bought “Pot” 3 days ago."


@pytest.mark.parametrize(
    ("action", "english", "chinese"),
    [
        ("view", "You looked at this 8 days ago.", "您8天前浏览过它。"),
        ("click", "You clicked this 8 days ago.", "您8天前点击过它。"),
        ("like", "You liked this 8 days ago.", "您8天前喜欢了它。"),
        ("cart", "You put this in your cart 8 days ago.", "您8天前把它加入了购物车。"),
        ("purchase", "You bought this 8 days ago.", "您8天前购买过它。"),
    ],
)
def test_an_item_that_is_its_own_reason_is_not_named_as_another_would_be(action, english, chinese):
    causes = [Cause(action, "Tea", 1.0, DAYS + 8), Cause("view", "Pot", 0.9)]
    said = explain(causes, COLD, own="Tea")
    assert (said.en, said.zh) == (english, chinese)
    assert explain(causes, COLD, own="Pot").en.count("Pot") == 0, "beside others it is no reason"
    assert explain([causes[0]._replace(when=UNTOLD)], COLD, own="Tea").zh == chinese.replace("8天前", "")


def test_two_causes_are_joined():
    said = explain([Cause("view", "Tea", 0.5), Cause("like", "Pot", 0.3)], COLD)
    assert (said.en, said.zh) == (
        "Because you viewed “Tea” and liked “Pot”.",
        "因为您浏览了“Tea”，并且喜欢了“Pot”。",
    )


def test_one_item_is_one_reason_told_by_its_strongest_behaviour():
    causes = [Cause("purchase", "A", 5), Cause("view", "B", 4), Cause("view", "A", 3), Cause("view", "C", 2)]
    assert explain(causes, COLD).en == "Because you bought “A”, viewed “B” and viewed “C”."
    assert explain([causes[0], causes[2]], COLD).en == "Because you bought “A”."


def test_what_added_next_to_nothing_beside_the_first_is_not_named():
    causes = [Cause("view", "A", 1.0), Cause("view", "B", LEAST_SHARE), Cause("view", "C", LEAST_SHARE - 0.01)]
    assert explain(causes, COLD).en == "Because you viewed “A” and “B”."


def test_what_lowered_the_score_is_no_reason():
    causes = [Cause("click", "Tea", 0.1), Cause("view", "Cup", -0.8), Cause("view", "Ale", -0.9)]
    assert explain(causes, COLD).en == "Because you clicked “Tea”."
    assert explain(causes[1:], COLD).en == languages()["en"].claims["none"]


@pytest.mark.parametrize("action", ["dislike", "impression"])
def test_what_shows_no_interest_is_no_reason_even_if_it_raised_the_score(action):
    assert explain([Cause(action, "Ale", 1.0)], COLD).en == languages()["en"].claims["none"]


@pytest.mark.parametrize(
    ("parts", "facts", "english", "chinese"),
    [
        ({"trend": 0.2, "popularity": 0.1}, ALL_FACTS, "Popular this week.", "本周热门。"),
        ({"trend": 0.2, "popularity": 0.1}, LATELY | SOMEBODY, "Of interest to others lately.", "近期有人关注。"),
        ({"trend": 0.2}, SOMEBODY, "Others have been interested in this.", "有人关注过。"),
        ({"trend": 0.1, "popularity": 0.2}, ALL_FACTS, "Popular with many people.", "大家都喜欢。"),
        ({"popularity": 0.2}, SOMEBODY, "Others have been interested in this.", "有人关注过。"),
        ({"sequence": 0.2}, SOMEBODY, "Often comes next after what you looked at.", "看过这些内容的人，接下来常会选择它。"),
        ({"context": 0.2}, SOMEBODY, "People often want this at this time.", "人们常在这个时候想要它。"),
        ({"sequence": 0.2}, 0, "A suggestion: nothing particular speaks for it yet.",
         "一个建议：目前还没有特别的理由。"),
        ({"context": 0.2}, NEW, "New, and we are curious whether you like it.", "新上架，想知道您是否喜欢。"),
        ({"age": 0.2}, NEW, "New, and we are curious whether you like it.", "新上架，想知道您是否喜欢。"),
        ({"age": 0.2}, 0, "Chosen by how long it has been here.", "参考了它上架的时间。"),
        ({}, NEW, "New, and we are curious whether you like it.", "新上架，想知道您是否喜欢。"),
        ({"trend": -0.1, "popularity": -0.2}, SOMEBODY, "A suggestion: nothing particular speaks for it yet.",
         "一个建议：目前还没有特别的理由。"),
    ],
)  # fmt: skip
def test_an_impersonal_part_is_called_what_it_is_as_far_as_the_facts_prove_it(parts, facts, english, chinese):
    said = explain([], parts, facts)
    assert (said.en, said.zh) == (english, chinese)


def test_where_nothing_may_be_said_of_others_the_own_behaviours_are_named_though_they_weigh_less():
    causes = [Cause("view", "Tea", 0.1)]
    assert explain(causes, {"co_occurrence": 0.1, "trend": 0.9}, SOMEBODY).en == "Others have been interested in this."
    assert explain(causes, {"co_occurrence": 0.1, "trend": 0.9}, 0).en == "Because you viewed “Tea”."
    assert explain(causes, {"co_occurrence": -0.1, "trend": 0.9}, 0).en == languages()["en"].claims["none"]


def test_a_place_given_to_learn_says_so():
    causes, parts = [Cause("view", "Tea", 1.0)], {"co_occurrence": 1.0}
    assert explain(causes, parts, NEW, True).en == "New, and we are curious whether you like it."
    assert explain(causes, parts, 0, True).en == "We are curious whether you like it."


def test_an_impersonal_part_that_outweighs_all_causes_together_is_named_instead_of_them():
    causes = [Cause("view", "Tea", 0.1), Cause("view", "Pot", 0.1)]
    assert "Tea" in explain(causes, {"co_occurrence": 0.1, "interest": 0.1, "trend": 0.19}, ALL_FACTS).en
    assert explain(causes, {"co_occurrence": 0.2, "trend": 0.21}, ALL_FACTS).en == "Popular this week."


causes = st.lists(
    st.builds(Cause, st.sampled_from(ACTIONS), st.sampled_from("ABCDEFG"), st.floats(-10, 10), st.just(UNTOLD)),
    max_size=12,
).map(lambda drawn: sorted(drawn, key=lambda cause: -cause.contribution))
parts = st.fixed_dictionaries({"trend": st.floats(-5, 5), "popularity": st.floats(-5, 5), "age": st.floats(-5, 5)})


@settings(derandomize=True, deadline=None, max_examples=150)
@given(causes, parts, st.integers(0, ALL_FACTS))
def test_only_behaviours_that_raised_the_score_are_named_and_the_strongest_of_them_is(causes, parts, facts):
    said = explain(causes, parts, facts)
    named = re.findall("“(.)”", said.en)
    raising = {c.title for c in causes if c.contribution > 0 and c.action in SAID}
    assert named == re.findall("“(.)”", said.zh)
    assert len(named) == len(set(named)) <= MAX_CAUSES
    assert set(named) <= raising
    if named:
        strongest = max(c.contribution for c in causes if c.action in SAID)
        assert strongest in [c.contribution for c in causes if c.title == named[0]]
    assert said.en.endswith(".")
    assert said.zh.endswith("。")


def test_a_title_is_cut_and_cannot_close_its_quotes_or_move_the_cursor():
    assert title_of("A “fine” tea") == "A ‘fine’ tea"
    assert title_of("好“茶”「绿」") == "好‘茶’「绿」"
    assert title_of("a\x1b[31m\nb\u202ec") == "a [31m b c"
    assert title_of("x" * 61) == "x" * 59 + "…"
    assert title_of("x" * 60) == "x" * 60
    assert title_of("\u0007 ") == "…"
    assert title_of("👩\u200d🍳") == "👩\u200d🍳"


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(max_size=100))
def test_any_title_stays_one_short_line_within_its_quotes(text):
    title = title_of(text)
    assert 1 <= len(title) <= MAX_TITLE
    assert not set(title) & set("“”\n\r\t\x1b\u2028\u202e")
    assert re.findall("“(.*)”", explain([Cause("view", title, 1.0)], COLD).en) == [title]


def test_a_sentence_is_never_long():
    longest = [Cause("cart", title_of(letter * 500), 1.0, YESTERDAY + 13) for letter in "MWQ"]
    assert len(explain(longest, COLD).en) < 350
    assert len(explain(longest, COLD).zh) < 300

"""Explanations say only what the numbers say, the same in both languages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events import ACTIONS
from stream.explain import MAX_CAUSES, Cause, explain

COLD = {"co_occurrence": 0.0, "trend": 0.0, "popularity": 0.0}
VERBS = {
    "view": ("viewed", "浏览了"),
    "click": ("clicked", "点击了"),
    "like": ("liked", "喜欢了"),
    "cart": ("put in your cart", "加购了"),
    "purchase": ("bought", "购买了"),
    "query": ("searched for", "搜索了"),
}


@pytest.mark.parametrize("action", VERBS)
def test_every_behaviour_has_its_word_in_both_languages(action):
    said = explain([Cause(action, "Tea", 1.0)], COLD)
    english, chinese = VERBS[action]
    assert said.en == f"Because you {english} “Tea”."
    assert said.zh == f"因为您{chinese}「Tea」。"


def test_the_two_strongest_causes_are_named_strongest_first():
    causes = [Cause("view", "Cup", 0.1), Cause("purchase", "Tea", 0.5), Cause("like", "Pot", 0.3)]
    said = explain(causes, COLD)
    assert said.en == "Because you bought “Tea” and liked “Pot”."
    assert said.zh == "因为您购买了「Tea」，并喜欢了「Pot」。"


def test_one_item_is_one_reason_told_by_its_strongest_behaviour():
    causes = [Cause("purchase", "A", 5), Cause("view", "B", 4), Cause("view", "C", 3), Cause("view", "A", 1)]
    assert explain(causes, COLD).en == "Because you bought “A” and viewed “B”."
    assert explain([causes[0], causes[3]], COLD).en == "Because you bought “A”."


def test_what_lowered_the_score_is_no_reason():
    causes = [Cause("dislike", "Ale", -0.9), Cause("view", "Cup", -0.8), Cause("click", "Tea", 0.1)]
    assert explain(causes, COLD).en == "Because you clicked “Tea”."
    assert "nobody" in explain(causes[:2], COLD).en


@pytest.mark.parametrize("action", ["dislike", "impression"])
def test_what_shows_no_interest_is_no_reason_even_if_it_raised_the_score(action):
    assert "nobody" in explain([Cause(action, "Ale", 1.0)], COLD).en


@pytest.mark.parametrize(
    ("parts", "english", "chinese"),
    [
        ({"trend": 0.2, "popularity": 0.1}, "these days", "近期"),
        ({"trend": 0.1, "popularity": 0.2}, "overall", "一直"),
        ({"trend": 0.0, "popularity": 0.0}, "New here", "新上架"),
        ({"trend": -0.1, "popularity": -0.2}, "New here", "新上架"),
        ({}, "New here", "新上架"),
    ],
)
def test_without_causes_the_largest_impersonal_part_is_named_or_that_there_is_none(parts, english, chinese):
    said = explain([], parts)
    assert english in said.en
    assert chinese in said.zh


def test_an_impersonal_part_that_outweighs_all_causes_together_is_named_instead_of_them():
    causes = [Cause("view", "Tea", 0.1), Cause("view", "Pot", 0.1)]
    assert "Tea" in explain(causes, {"co_occurrence": 0.2, "trend": 0.19}).en
    assert "these days" in explain(causes, {"co_occurrence": 0.2, "trend": 0.21}).en


causes = st.lists(
    st.builds(Cause, st.sampled_from(ACTIONS), st.sampled_from("ABCDEFG"), st.floats(-10, 10)), max_size=12
)
parts = st.fixed_dictionaries({"trend": st.floats(0, 5), "popularity": st.floats(0, 5)})


@settings(derandomize=True, deadline=None, max_examples=300)
@given(causes, parts)
def test_only_behaviours_that_raised_the_score_are_named_and_the_strongest_of_them_is(causes, parts):
    said = explain(causes, parts)
    named = re.findall("“(.)”", said.en)
    raising = {c.title: c.contribution for c in sorted(causes) if c.contribution > 0 and c.action in VERBS}
    assert named == re.findall("「(.)」", said.zh)
    assert len(named) == len(set(named)) <= MAX_CAUSES
    assert set(named) <= set(raising)
    if named:
        strongest = max(c.contribution for c in causes if c.action in VERBS)
        assert strongest in [c.contribution for c in causes if c.title == named[0]]
    assert said.en.endswith(".")
    assert said.zh.endswith("。")

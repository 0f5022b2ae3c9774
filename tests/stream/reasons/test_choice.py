"""What is said of many places at once is what plain Python says of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reason_reference import reason

from models.items.facts import ALL_FACTS, NEW
from models.ranking.features import PARTS
from models.ranking.rank import FEEDBACK
from models.vocabulary import ACTIONS
from stream.reasons.ago import CODES
from stream.reasons.choice import NAMED, OWN_ITEM, STRONGEST, Told, choose
from stream.reasons.language import ACTIONS_TOLD, CLAIMS
from stream.reasons.sentence import OWN, Cause

NAMES = (*PARTS, FEEDBACK, "rules", "fatigue")
TOLD_OF_PLACES = ["", "", "", "", "promoted", "fatigue", "withheld"]
TITLES = [f"title {i}" for i in range(5)]


def a_batch(rng, lists):
    """Causes of each place, what stands beside them, and to which list each place belongs."""
    user = np.repeat(np.arange(lists), rng.integers(0, 7, lists))
    values = (0.0, 0.0, 0.1, 0.5, 1.0, -0.3, 2.0)
    places = []
    for _ in user:
        causes = [
            (str(rng.choice(ACTIONS_TOLD)), int(rng.integers(-1, 5)), float(value), int(rng.integers(0, 3)))
            for value in sorted(rng.choice(values, rng.integers(0, 2 * STRONGEST)), key=abs, reverse=True)
        ]
        facts, own = int(rng.integers(0, ALL_FACTS + 1)), int(rng.integers(0, 9))
        told = str(rng.choice(TOLD_OF_PLACES))
        parts = np.where(np.array(NAMES) == "fatigue", -0.1, rng.choice(values, len(NAMES)))
        places.append((causes, parts, facts, rng.random() < 0.2, own, told))
    return user, places


def chosen_at_once(user, places):
    flat = [cause for causes, *_ in places for cause in causes]
    title = np.array([title for _, title, _, _ in flat], np.int64)
    said = np.array([(t * len(ACTIONS) + ACTIONS.index(a)) * CODES + w for a, t, _, w in flat], np.int64)
    bounds = np.cumsum([0, *(len(causes) for causes, *_ in places)])
    parts = np.array([parts for _, parts, *_ in places]).reshape(len(places), len(NAMES))
    told = Told(np.array([value for _, _, value, _ in flat], np.float64), title, said, title)
    facts = np.array([place[2] for place in places], np.uint8)
    told_of_place = np.array([CLAIMS.index(place[5]) if place[5] else -1 for place in places], np.int64)
    is_explored, own = np.array([place[3] for place in places], np.bool_), np.array([p[4] for p in places], np.int64)
    made = choose(told, bounds, user, own, parts, NAMES, facts, is_explored, told_of_place)
    words = [(a, TITLES[t], w) for a, t, _, w in flat]
    return made, [
        (
            [words[i] for i in named if i >= 0],
            {NAMED: "", OWN_ITEM: OWN}.get(claim) or (claim >= 0 and CLAIMS[claim]) or "",
        )
        for named, claim in zip(made.named.tolist(), made.claim.tolist(), strict=True)
    ]


def chosen_one_by_one(places):
    found = []
    for causes, parts, facts, is_explored, own, of_place in places:
        told = [Cause(a, TITLES[t], value, w) for a, t, value, w in causes if t >= 0 and value > 0][:STRONGEST]
        scores = dict(zip(NAMES, parts.tolist(), strict=True))
        named, claim = reason(told, scores, facts, is_explored, TITLES[own] if own < len(TITLES) else None, of_place)
        found.append(([(each.action, each.title, each.when) for each in named], claim))
    return found


@settings(derandomize=True, deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), lists=st.integers(0, 4))
def test_what_is_said_is_what_one_place_after_another_would_say(seed, lists):
    user, places = a_batch(np.random.default_rng(seed), lists)
    assert chosen_at_once(user, places)[1] == chosen_one_by_one(places)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), lists=st.integers(0, 4))
def test_places_of_a_list_share_a_reason_where_the_same_is_said_and_only_there(seed, lists):
    user, places = a_batch(np.random.default_rng(seed), lists)
    made, said = chosen_at_once(user, places)
    numbers: dict[int, dict[object, int]] = {}
    for of, words, number, is_first in zip(
        user.tolist(), said, made.reason.tolist(), made.is_first.tolist(), strict=True
    ):
        # Of an item that is its own reason the title is not said.
        heard = str([(action, when) for action, _, when in words[0]] if words[1] == OWN else words)
        known = numbers.setdefault(of, {})
        assert is_first == (heard not in known)
        assert number == known.setdefault(heard, len(known))


def test_those_worlds_have_named_and_claimed_and_shared_reasons():
    user, places = a_batch(np.random.default_rng(1), 80)
    made, said = chosen_at_once(user, places)
    assert {len(named) for named, _ in said} == {0, 1, 2, 3}
    assert len({claim for _, claim in said}) == len(CLAIMS) + 2
    assert 0 < np.count_nonzero(~made.is_first) < len(user)


def test_only_the_strongest_that_can_be_told_are_looked_at():
    alike, other = ("view", 0, 1.0, 0), ("view", 1, 1.0, 0)
    parts = np.zeros(len(NAMES))
    for n, titles in ((STRONGEST - 1, ["title 0", "title 1"]), (STRONGEST, ["title 0"])):
        (found,) = chosen_at_once(np.zeros(1, np.int64), [([alike] * n + [other], parts, 0, False, -1, "")])[1]
        assert [title for _, title, _ in found[0]] == titles


@pytest.mark.parametrize(("facts", "claim"), [(NEW, "new"), (0, "explore")])
def test_a_place_given_to_learn_names_nothing_of_the_person(facts, claim):
    place = ([("view", 0, 5.0, 0)], np.full(len(NAMES), 5.0), facts, True, 0, "")
    assert chosen_at_once(np.zeros(1, np.int64), [place])[1] == [([], claim)]

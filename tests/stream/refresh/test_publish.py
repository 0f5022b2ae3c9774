"""Published records: ids that follow from the input, scores that are the sum of their parts, reasons that add up."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_world import HASHES, IDS, ITEMS, NOW_MS, world

from models.items.facts import item_facts
from models.items.priors import compute_priors
from models.ranking.features import Question
from models.ranking.rank import SPLIT, RankingParams, rank
from models.ranking.recent import recent_items
from models.vocabulary import ACTIONS
from stream.reasons import sentence as explain
from stream.reasons.language import languages
from stream.refresh.publish import ListHeader, SentenceContext, build_records, model_versions, recommendation_id
from stream.refresh.question import Behaviours
from stream.wire.records import EventSource, ModelVersions, attribution_decoder, encode, recommendation_decoder

MODEL = model_versions("w1")
VERBS = {"view": "viewed", "click": "clicked", "like": "liked", "purchase": "bought"}

NAMES = dict(zip(HASHES.tolist(), IDS, strict=True))
GAINS = {"view": 0.2, "click": 1.0, "like": 2.0, "dislike": -2.0, "purchase": 4.0}


def behaviours_of(rng, users, width=12):
    action = rng.choice([ACTIONS.index(name) for name in GAINS], (users, width)).astype(np.uint8)
    gain = np.array([GAINS.get(name, 0.0) for name in ACTIONS])[action] * (1 + rng.random((users, width)))
    item = HASHES[rng.integers(0, ITEMS, (users, width))]
    item[rng.random((users, width)) < 0.2] = 0
    return Behaviours(item, NOW_MS - rng.integers(0, 10**9, (users, width)), action, np.where(item != 0, gain, 0.0))


def asked_by(catalog, recent):
    users = len(recent.items)
    moment = np.full(users, NOW_MS), np.zeros(users), np.full((users, 3), -1)
    return Question(catalog.index.lookup(recent.items), recent.gains, np.full((users, 1), -1, np.int32), *moment)


def publish(seed, users=3, top_k=5, offset=77, empty=False, untold=False, name_of=NAMES.get):
    rng = np.random.default_rng(seed)
    catalog, stats = world(rng, untold=untold)
    behaviours = behaviours_of(rng, users)
    if empty:
        behaviours = behaviours._replace(item=np.zeros_like(behaviours.item), gain=np.zeros_like(behaviours.gain))
    recent = recent_items(behaviours.item, behaviours.time_ms, behaviours.gain, 6)
    ranked = rank(
        asked_by(catalog, recent),
        catalog=catalog,
        stats=stats,
        priors=compute_priors(catalog, stats, candidates_each=50, now_ms=NOW_MS),
        params=RankingParams(top_k=top_k),
    )
    listed = [ListHeader(f"u{u}", EventSource("interest.events", 2, offset), NOW_MS - u, "event") for u in range(users)]
    telling = SentenceContext(item_facts(ranked.items, stats, NOW_MS), NOW_MS)
    return build_records(listed, ranked, recent, behaviours, catalog, name_of, NOW_MS, 0, MODEL, telling)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), users=st.integers(1, 4), top_k=st.integers(1, 20))
def test_every_place_adds_up_and_has_its_reason(seed, users, top_k):
    published = publish(seed, users, top_k)
    assert [p.recommendation.user_id for p in published] == [f"u{u}" for u in range(users)]
    for recommendation, reasons, _ in published:
        assert [item.rank for item in recommendation.items] == list(range(1, len(recommendation.items) + 1))
        assert len({item.item_id for item in recommendation.items}) == len(recommendation.items) <= top_k
        scores = [item.score for item in recommendation.items]
        assert scores == sorted(scores, reverse=True)
        assert len(reasons) == len(recommendation.items)
        for item, reason in zip(recommendation.items, reasons, strict=True):
            assert sum(item.parts.values()) == item.score == reason.score
            assert (reason.recommendation_id, reason.user_id) == (
                recommendation.recommendation_id,
                recommendation.user_id,
            )
            assert (reason.item_id, reason.rank, reason.method) == (item.item_id, item.rank, "exact-additive")
            own = sum(c.contribution for c in reason.contributions)
            assert math.isclose(own, item.parts["co_occurrence"], abs_tol=1e-9)
            assert abs(reason.residual) < 1e-9
            others = sum(value for name, value in item.parts.items() if name != "co_occurrence")
            assert math.isclose(own + others + reason.residual, item.score, abs_tol=1e-12)


CLAIM_OF = {text: name for name, text in languages()["en"].claims.items()}
PART_OF_CLAIM = {"trend_this_week": "trend", "popularity_many": "popularity"}


def follows_from(item, reason, disliked):
    """Whether everything that a reason says in both languages follows from the records."""
    named = re.findall("“([^”]*)”", reason.explanation.en)
    if named != re.findall("「([^」]*)」", reason.explanation.zh):
        return False
    parts = item.parts
    if not named:
        claim = CLAIM_OF[reason.explanation.en]
        if claim in {"new", "none"}:
            return max(value for name, value in parts.items() if name not in SPLIT) <= 0 or claim == "new"
        part = parts[PART_OF_CLAIM.get(claim, claim)]
        # Somebody's interest may stand for a trend that cannot be proven to be one of these days.
        largest = parts["trend"] if claim == "popularity" else part
        return max(part, largest) > 0 and max(part, largest) == max(v for k, v in parts.items() if k not in SPLIT)
    raising = {}
    for each in reason.contributions:
        if each.contribution > 0 and each.item_id not in disliked:
            raising.setdefault(f"Title of {each.item_id}", each)
    if not set(named) <= set(raising) or len(named) != len(set(named)) or len(named) > 3:
        return False
    values = [raising[title].contribution for title in named]
    strongest = max(each.contribution for each in raising.values())
    said = all(f"{VERBS[raising[title].action]} “{title}”" in reason.explanation.en for title in named)
    return said and values == sorted(values, reverse=True) and values[0] == strongest


def check_claims(seeds):
    named = 0
    for seed in seeds:
        disliked_of = disliked(seed)
        for (recommendation, reasons, _), own in zip(publish(seed), disliked_of, strict=True):
            for item, reason in zip(recommendation.items, reasons, strict=True):
                assert follows_from(item, reason, own), (item, reason)
                named += "“" in reason.explanation.en
    return named


def disliked(seed, users=3):
    """Of each user of `publish(seed)`, the ids of items that they showed dislike of."""
    rng = np.random.default_rng(seed)
    world(rng)
    behaviours = behaviours_of(rng, users)
    return [
        {NAMES[h] for h in row[gain < 0].tolist()} for row, gain in zip(behaviours.item, behaviours.gain, strict=True)
    ]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_every_claim_of_a_sentence_follows_from_the_record(seed):
    check_claims([seed])


def test_the_sentences_of_that_test_do_name_behaviours():
    assert check_claims(range(10)) > 30


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("_disliked", lambda recent, behaviours: np.zeros(behaviours.item.shape, bool)),
        ("reason", lambda causes, *rest: explain.reason(causes[::-1], *rest)),
        ("reason", lambda causes, parts, *rest: explain.reason(causes, {k: -v for k, v in parts.items()}, *rest)),
        (
            "both_languages",
            lambda causes, claim: explain.both_languages([("like", *each[1:]) for each in causes], claim),
        ),
    ],
)
def test_a_sentence_that_says_something_else_is_noticed(name, broken, monkeypatch):
    monkeypatch.setattr(f"stream.refresh.publish.{name}", broken)
    with pytest.raises(AssertionError):
        check_claims(range(60))


def test_a_sentence_says_when_as_of_the_moment_it_is_told_at():
    for _, reasons, _ in publish(4):
        for reason in reasons:
            for title, when in re.findall("“Title of ([^”]*)” ([^“]*?)(?:,|\\.| and )", reason.explanation.en):
                days = [(NOW_MS - c.event_time) / 86_400_000 for c in reason.contributions if c.item_id == title]
                told_days = int(when.split()[0]) if when[0].isdigit() else 1 if "yesterday" in when else 0
                assert any(told_days - 1 <= each <= told_days + 1 for each in days)


def test_records_can_be_written_and_read_again():
    for recommendation, reasons, _ in publish(4):
        assert recommendation_decoder.decode(encode(recommendation)) == recommendation
        assert [attribution_decoder.decode(encode(reason)) for reason in reasons] == reasons


def test_the_same_input_publishes_the_same_records_byte_for_byte():
    assert [encode(p.recommendation) for p in publish(4)] == [encode(p.recommendation) for p in publish(4)]


SOURCE = EventSource("t", 1, 5)


def test_the_id_of_a_list_is_32_hex_digits_that_never_change():
    model = ModelVersions(None, None, "additive-1")
    assert recommendation_id("u", SOURCE, model) == recommendation_id("u", EventSource("t", 1, 5), model)
    assert recommendation_id("u", SOURCE, model) == "55bbc1f37bc56dca422bfe66dea6096d"


@pytest.mark.parametrize(
    ("user", "source", "model"),
    [
        ("v", SOURCE, MODEL),
        ("u", EventSource("t", 1, 6), MODEL),
        ("u", EventSource("t", 2, 5), MODEL),
        ("u", EventSource("s", 1, 5), MODEL),
        ("u", SOURCE, ModelVersions("e", None, MODEL.ranker)),
        ("u", SOURCE, ModelVersions(None, "e", MODEL.ranker)),
        ("u", SOURCE, ModelVersions(None, None, "additive-2")),
    ],
)
def test_another_user_offset_or_model_gives_another_id(user, source, model):
    assert recommendation_id(user, source, model) != recommendation_id("u", SOURCE, MODEL)


def test_another_offset_gives_lists_with_other_ids():
    ids = {p.recommendation.recommendation_id for offset in (1, 2) for p in publish(4, offset=offset)}
    assert len(ids) == 6


def test_a_list_says_for_whom_of_what_and_when_it_is():
    recommendation = publish(4, users=2)[1].recommendation
    assert (recommendation.user_id, recommendation.generated_at, recommendation.event_time) == (
        "u1", NOW_MS, NOW_MS - 1,
    )  # fmt: skip
    assert recommendation.source == EventSource("interest.events", 2, 77)
    assert (recommendation.trigger, recommendation.model) == ("event", MODEL)


def test_a_new_user_gets_a_list_without_contributions():
    for recommendation, reasons, _ in publish(4, empty=True):
        assert {item.strategy for item in recommendation.items} == {"cold_start"}
        assert all(reason.contributions == () and reason.residual == 0 for reason in reasons)
        assert all("“" not in r.explanation.en for r in reasons)
        assert any("opular" in r.explanation.en or "Others" in r.explanation.en for r in reasons)


def test_before_anything_is_known_of_items_they_are_said_to_be_new():
    for recommendation, reasons, _ in publish(4, untold=True):
        assert len(recommendation.items) == 5
        assert {reason.explanation.en for reason in reasons} == {"New, and we are curious whether you like it."}


def test_a_behaviour_whose_item_id_is_not_known_is_named_by_its_hash():
    contributions = [
        c for p in publish(4, name_of=lambda _: None) for reason in p.attributions for c in reason.contributions
    ]
    assert contributions
    assert all(c.item_id.removeprefix("hash:") in {f"{h:016x}" for h in NAMES} for c in contributions)


def test_a_list_with_no_items_is_published_too():
    rng = np.random.default_rng(0)
    catalog, stats = world(rng, unavailable=IDS)
    behaviours = behaviours_of(rng, 1)
    recent = recent_items(behaviours.item, behaviours.time_ms, behaviours.gain, 6)
    ranked = rank(
        asked_by(catalog, recent),
        catalog=catalog,
        stats=stats,
        priors=compute_priors(catalog, stats, candidates_each=50, now_ms=NOW_MS),
        params=RankingParams(top_k=3),
    )
    listed = [ListHeader("u", SOURCE, NOW_MS, "catalog")]
    ((recommendation, reasons, _),) = build_records(
        listed, ranked, recent, behaviours, catalog, NAMES.get, NOW_MS, 0, MODEL,
        SentenceContext(np.zeros(ranked.items.shape, np.uint8), NOW_MS),
    )  # fmt: skip
    assert (recommendation.items, reasons) == ((), [])

"""Published records: ids that follow from the input, scores that are the sum of their parts, reasons that add up."""

from __future__ import annotations

import re
from datetime import UTC

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_lists import LANGUAGES, MODEL, NAMES, asked_by, behaviours_of, publish, read_again
from ranking_world import IDS, NOW_MS, world

from models.hashing import item_hash
from models.items.facts import NEW_MS
from models.items.priors import compute_priors
from models.ranking.rank import SPLIT, RankingParams, rank
from models.ranking.recent import recent_items
from models.vocabulary import ACTIONS
from stream.reasons.choice import choose
from stream.reasons.language import languages
from stream.reasons.phrases import phrases_of
from stream.refresh.publish import ListHeader, build_records, list_bytes, recommendation_id
from stream.refresh.reasons import SentenceContext
from stream.refresh.sentence_bytes import sentences_json
from stream.refresh.words import Naming, Words
from stream.wire.reasons import item_reasons
from stream.wire.records import EventSource, ModelVersions, encode, read_attribution, recommendation_decoder

VERBS = {"view": "viewed", "click": "clicked", "like": "liked", "purchase": "bought"}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), users=st.integers(1, 4), top_k=st.integers(1, 20))
def test_every_place_adds_up_and_has_its_reason(seed, users, top_k):
    published = publish(seed, users, top_k)
    assert [p.recommendation.user_id for p in published] == [f"u{u}" for u in range(users)]
    for recommendation, written, _ in published:
        record = written.record
        assert (record.recommendation_id, record.user_id, record.method, record.schema_version) == (
            recommendation.recommendation_id,
            recommendation.user_id,
            "exact-additive",
            2,
        )
        assert record.gap < 1e-12
        reasons = item_reasons(record)
        assert [item.rank for item in recommendation.items] == list(range(1, len(recommendation.items) + 1))
        assert len({item.item_id for item in recommendation.items}) == len(recommendation.items) <= top_k
        scores = [item.score for item in recommendation.items]
        assert scores == sorted(scores, reverse=True)
        assert len(reasons) == len(recommendation.items)
        for item, reason in zip(recommendation.items, reasons, strict=True):
            assert sum(item.parts.values()) == item.score == pytest.approx(reason.score, abs=4e-6)
            assert (reason.recommendation_id, reason.user_id) == (record.recommendation_id, record.user_id)
            assert (reason.item_id, reason.rank) == (item.item_id, item.rank)
            own = sum(c.contribution for c in reason.contributions) + reason.others
            assert own == pytest.approx(item.parts["co_occurrence"] + item.parts["interest"], abs=2e-6)


CLAIM_OF = {text: name for name, text in languages()["en"].claims.items()}
OWN_TEXTS = {text for texts in languages()["en"].own.values() for text in texts}
PART_OF_CLAIM = {"trend_this_week": "trend", "popularity_many": "popularity"}


def follows_from(item, reason, disliked):
    """Whether everything that a reason says in both languages follows from the records."""
    named = re.findall("“([^”]*)”", reason.sentences["en"])
    if named != re.findall("“([^”]*)”", reason.sentences["zh"]):
        return False
    parts = item.parts
    if not named:
        if reason.sentences["en"] in OWN_TEXTS:
            raising = [c for c in reason.contributions if c.contribution > 0 and c.item_id not in disliked]
            return raising[0].item_id == item.item_id
        claim = CLAIM_OF[reason.sentences["en"]]
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
    said = all(VERBS[raising[title].action] in reason.sentences["en"] for title in named)
    return said and values == sorted(values, reverse=True) and values[0] == strongest


def check_claims(seeds):
    named = 0
    for seed in seeds:
        disliked_of = disliked(seed)
        for (recommendation, record, _), own in zip(publish(seed), disliked_of, strict=True):
            for item, reason in zip(recommendation.items, item_reasons(record.record), strict=True):
                assert follows_from(item, reason, own), (item, reason)
                named += "“" in reason.sentences["en"]
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


def liked(said):
    return said._replace(action=np.full_like(said.action, ACTIONS.index("like")))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("_disliked", lambda recent, behaviours: np.zeros(behaviours.item.shape, bool)),
        ("choose", lambda told, *rest: choose(told._replace(title=np.roll(told.title, 1)), *rest)),
        ("choose", lambda told, bounds, user, item, parts, *rest: choose(told, bounds, user, item, -parts, *rest)),
        ("sentences_json", lambda phrases, said, *rest: sentences_json(phrases, liked(said), *rest)),
    ],
)
def test_a_sentence_that_says_something_else_is_noticed(name, broken, monkeypatch):
    monkeypatch.setattr(f"stream.refresh.reasons.{name}", broken)
    with pytest.raises(AssertionError):
        check_claims(range(60))


def test_a_sentence_says_when_as_of_the_moment_it_is_told_at():
    for _, written, _ in publish(4):
        for reason in item_reasons(written.record):
            for title, when in re.findall("“Title of ([^”]*)” ([^“]*?)(?:,|\\.| and )", reason.sentences["en"]):
                days = [(NOW_MS - c.event_time) / 86_400_000 for c in reason.contributions if c.item_id == title]
                told_days = int(when.split()[0]) if when[0].isdigit() else 1 if "yesterday" in when else 0
                assert any(told_days - 1 <= each <= told_days + 1 for each in days)


def test_records_can_be_written_and_read_again():
    for recommendation, reasons, _ in publish(4):
        assert recommendation_decoder.decode(encode(recommendation)) == recommendation
        assert read_attribution(reasons.value) == reasons.record


def test_the_same_input_publishes_the_same_records_byte_for_byte():
    assert [encode(p.recommendation) for p in publish(4)] == [encode(p.recommendation) for p in publish(4)]


SOURCE = EventSource("t", 1, 5)


HASHED, BY = np.array([3, 2**64 - 1], np.uint64), np.array([0, 2], np.uint8)
PLACES = list_bytes(HASHED, BY)


def test_the_id_of_a_list_is_32_hex_digits_that_never_change():
    model = ModelVersions(None, None, "additive-1")
    assert recommendation_id("u", SOURCE, model, PLACES) == recommendation_id(
        "u", EventSource("t", 1, 5), model, PLACES
    )
    assert recommendation_id("u", SOURCE, model, PLACES) == "d3162ebecbfcfeed3f3727cf043f4d76"


@pytest.mark.parametrize(
    ("user", "source", "model", "places"),
    [
        ("v", SOURCE, MODEL, PLACES),
        ("u", EventSource("t", 1, 6), MODEL, PLACES),
        ("u", EventSource("t", 2, 5), MODEL, PLACES),
        ("u", EventSource("s", 1, 5), MODEL, PLACES),
        ("u", SOURCE, ModelVersions("e", None, MODEL.ranker), PLACES),
        ("u", SOURCE, ModelVersions(None, "e", MODEL.ranker), PLACES),
        ("u", SOURCE, ModelVersions(None, None, "additive-2"), PLACES),
        ("u", SOURCE, MODEL, list_bytes(HASHED[::-1], BY)),
        ("u", SOURCE, MODEL, list_bytes(HASHED[:1], BY[:1])),
        ("u", SOURCE, MODEL, list_bytes(HASHED, BY[::-1])),
        ("u", SOURCE, MODEL, b""),
    ],
)
def test_another_user_offset_model_item_order_or_strategy_gives_another_id(user, source, model, places):
    assert recommendation_id(user, source, model, places) != recommendation_id("u", SOURCE, MODEL, PLACES)


def test_a_list_made_again_keeps_its_id_whatever_moved_in_its_scores_and_another_list_has_another():
    def moved(ranked):
        return ranked._replace(scores=ranked.scores + 0.001)

    def swapped(ranked):
        return ranked._replace(items=ranked.items[:, [1, 0, *range(2, ranked.items.shape[1])]])

    first, again, other = ([p.recommendation for p in publish(4, change=change)] for change in (None, moved, swapped))
    assert [each.recommendation_id for each in first] == [each.recommendation_id for each in again]
    assert {each.recommendation_id for each in first}.isdisjoint(each.recommendation_id for each in other)
    assert first[0].items != again[0].items


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
    for recommendation, written, _ in publish(4, empty=True):
        record = written.record
        reasons = item_reasons(record)
        assert {item.strategy for item in recommendation.items} == {"cold_start"}
        assert all(reason.contributions == () and reason.others == 0 for reason in reasons)
        assert (record.behaviours, record.gap) == ((), pytest.approx(0.0, abs=1e-15))
        assert all("“" not in r.sentences["en"] for r in reasons)
        assert any("opular" in r.sentences["en"] or "Others" in r.sentences["en"] for r in reasons)


def test_before_anything_is_known_of_items_they_are_said_to_be_new():
    for recommendation, record, _ in publish(4, untold=True):
        assert len(recommendation.items) == 5
        assert {reason.sentences["en"] for reason in item_reasons(record.record)} == {
            "New, and we are curious whether you like it."
        }


@pytest.mark.parametrize(("age_ms", "claim"), [(NEW_MS, "new"), (NEW_MS + 1, "none")])
def test_an_item_that_was_listed_long_ago_is_not_called_new_however_little_is_known_of_it(age_ms, claim):
    for _, written, _ in publish(4, untold=True, listed_ms=NOW_MS - age_ms):
        assert {reason.sentences["en"] for reason in item_reasons(written.record)} == {languages()["en"].claims[claim]}


def test_a_behaviour_whose_item_id_is_not_known_is_named_by_its_hash():
    cited = [c for p in publish(4, name_of=lambda _: None, gone=IDS[::2]) for c in p.reasons.record.behaviours]
    named = {f"hash:{item_hash(item_id):016x}" for item_id in IDS[::2]}
    assert named & {c.item_id for c in cited}
    assert {c.item_id for c in cited} <= named | set(IDS[1::2])  # the catalogue names what it has


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
    made = build_records(
        listed, ranked, recent, behaviours, Naming(Words(), catalog, NAMES.get), NOW_MS, 0, [MODEL] * len(listed),
        SentenceContext(np.zeros(ranked.items.shape, np.uint8), NOW_MS, UTC, phrases_of(LANGUAGES)),
    )  # fmt: skip
    ((recommendation, reasons, _),) = read_again(made)
    record = reasons.record
    assert (recommendation.items, record.places, record.behaviours, record.reasons) == ((), (), (), ())

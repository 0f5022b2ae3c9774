"""A list's record of reasons: sums that hold to the last digit, everything once, and a gap that shows what is wrong."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_lists import LANGUAGES, publish, ranked_world

from models.reasons.contributions import COMPLETENESS_GAP_MAX, contributions_of
from stream.reasons import choice
from stream.refresh import list_bytes, reason_bytes, sentence_bytes
from stream.refresh.json_bytes import MILLION
from stream.wire.records import read_attribution

FIXED = settings(derandomize=True, deadline=None, max_examples=40)


def decimals(published):
    return json.loads(published.reasons.value, parse_float=Decimal, parse_int=Decimal)


@FIXED
@given(seed=st.integers(0, 2**32 - 1), users=st.integers(1, 3), most=st.sampled_from([0, 1, 3, 8]))
def test_in_decimal_the_sums_of_a_record_hold_exactly(seed, users, most):
    for published in publish(seed, users, most=most):
        record = decimals(published)
        split = [record["part_names"].index(name) for name in ("co_occurrence", "interest")]
        for place in record["places"]:
            assert sum(place["parts"]) == place["score"]
            causes = sum(value for _, value in place["causes"])
            assert causes + place["others"] == sum(place["parts"][i] for i in split)
            assert len(place["causes"]) <= (most or 64)
            numbers = [place["score"], place["others"], *place["parts"], *(value for _, value in place["causes"])]
            assert all(number * MILLION == int(number * MILLION) for number in numbers)


@FIXED
@given(seed=st.integers(0, 2**32 - 1), most=st.sampled_from([0, 2]))
def test_every_number_is_the_float_it_was_made_of_to_half_a_millionth(seed, most):
    ranked, recent, behaviours, *_ = ranked_world(seed)
    causes, _ = contributions_of(ranked.contributions, recent, behaviours.gain, most)
    for user, published in enumerate(publish(seed, most=most)):
        record = published.reasons.record
        for rank, place in enumerate(record.places):
            own = (causes.user == user) & (causes.rank == rank)
            told = [record.behaviours[each.behaviour] for each in place.causes]
            assert [each.event_time for each in told] == behaviours.time_ms[user, causes.behaviour[own]].tolist()
            values = [each.contribution for each in place.causes]
            assert values == pytest.approx(causes.value[own].tolist(), rel=0, abs=5.1e-7)
            assert place.parts == pytest.approx([v[user, rank] for v in ranked.parts.values()], rel=0, abs=5.1e-7)
            item = published.recommendation.items[rank]
            assert (place.item_id, place.strategy, place.propensity) == (item.item_id, item.strategy, item.propensity)


@FIXED
@given(st.integers(0, 2**32 - 1))
def test_behaviours_and_sentences_stand_once_in_a_record_and_none_is_left_over(seed):
    for published in publish(seed):
        record = published.reasons.record
        cited = [each.behaviour for place in record.places for each in place.causes]
        assert list(dict.fromkeys(cited)) == list(range(len(record.behaviours)))
        told = [place.reason for place in record.places]
        assert list(dict.fromkeys(told)) == list(range(len(record.reasons)))
        assert len({json.dumps(each) for each in record.reasons}) == len(record.reasons)


def test_contributions_that_are_not_what_the_score_is_made_of_show_in_the_gap_of_their_list():
    def wrong(ranked):
        contributions = ranked.contributions.copy()
        contributions[1, 0] *= 1.001
        return ranked._replace(contributions=contributions)

    gaps = [published.reasons.gap for published in publish(4, change=wrong)]
    assert gaps[1] > COMPLETENESS_GAP_MAX > max(gaps[0], gaps[2])
    record = decimals(publish(4, change=wrong)[1])
    assert sum(record["places"][0]["parts"]) == record["places"][0]["score"], "decimals alone would not have told"


def test_what_is_not_a_number_is_a_gap():
    gaps = [p.reasons.gap for p in publish(4, change=lambda r: r._replace(contributions=r.contributions * np.nan))]
    assert not any(gap <= COMPLETENESS_GAP_MAX for gap in gaps)


def test_what_a_worker_compiles_before_it_joins_is_all_that_it_runs():
    """A list for nobody, of nothing (`Refresher.warm_up`), has everything compiled that a real one needs."""
    functions = (
        choice._name, choice._number, reason_bytes._write_places, reason_bytes._write_behaviours, list_bytes._write,
        sentence_bytes._write,
    )  # fmt: skip
    publish(4, empty=True)
    publish(4, most=8)
    assert [len(function.signatures) for function in functions] == [1] * 6


def test_sentences_are_written_in_the_languages_that_are_asked_for():
    both, english = publish(4), publish(4, speaks=LANGUAGES[:1])
    for with_both, with_one in zip(both, english, strict=True):
        assert {tuple(each) for each in with_both.reasons.record.reasons} == {("en", "zh")}
        assert [{"en": each["en"]} for each in with_both.reasons.record.reasons] == list(
            with_one.reasons.record.reasons
        )
        assert with_one.reasons.record.places == with_both.reasons.record.places


def test_an_item_that_has_left_the_catalogue_ends_its_list_and_causes_nothing():
    whole = publish(4)[0].reasons.record
    short = publish(4, gone=[whole.places[2].item_id])[0]
    record = read_attribution(short.reasons.value)
    assert len(short.recommendation.items) == len(record.places) == 2
    assert [place.causes for place in record.places] == [place.causes for place in whole.places[:2]]
    assert len(record.behaviours) == len({c.behaviour for p in record.places for c in p.causes})

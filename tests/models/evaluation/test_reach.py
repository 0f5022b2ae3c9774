"""How much of the catalogue a week's lists show, and popularity taken off scores."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_streams import Fixed, by_hand, make_known, make_stream, random_stream

from models.evaluation.contract import NEVER_MS, Answer
from models.evaluation.protocol import LISTED, run, run_reranked
from models.evaluation.questions import questions, warm_up_end
from models.evaluation.reach import WEEK_MS, weekly_coverage, weeks, without_popularity

DAY = WEEK_MS // 7


def lists(*rows):
    listed = np.full((len(rows), LISTED), -1, np.int32)
    for number, row in enumerate(rows):
        listed[number, : len(row)] = row
    return listed


def asked_on(days, items, **listed):
    """A stream with an event per day named, all of them asked about, and the weeks of it."""
    stream = make_stream(range(len(days)), items, [day * DAY for day in days])
    known = make_known(stream, **listed)
    asked = questions(stream, known, 0)
    return weeks(asked, stream, known)


def test_a_week_counts_what_was_known_at_its_end_and_only_full_weeks_count():
    found = asked_on([0, 1, 8, 14, 15], [0, 1, 2, 3, 4])

    assert found.of_question.tolist() == [0, 0, 1, 2, 2]
    assert found.items.tolist() == [2, 3]  # of the third week there is one day

    shown = lists([0], [0, 1], [2], [0, 1, 2, 3], [4])
    assert weekly_coverage(shown, found, 10) == pytest.approx((2 / 2 + 1 / 3) / 2)
    assert weekly_coverage(shown, found, 1) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_items_of_the_catalogue_count_from_when_they_are_in_it():
    never = [NEVER_MS] * 4
    found = asked_on([0, 8, 14, 15], [0, 1, 2, 3], more=3, listed_from_ms=[*never, 0, 9 * DAY, NEVER_MS])

    assert found.items.tolist() == [2, 4]


def test_an_item_that_is_in_the_catalogue_and_in_events_is_one_item():
    assert asked_on([0, 8, 14], [0, 1, 2], listed_from_ms=[NEVER_MS, 0, 8 * DAY]).items.tolist() == [2, 3]


def test_of_less_than_a_week_what_there_is_counts():
    found = asked_on([0, 1], [0, 1])

    assert found.items.tolist() == [2]
    assert weekly_coverage(lists([0], [0]), found, 10) == 0.5


def test_a_week_in_which_nobody_was_asked_showed_nothing():
    found = asked_on([0, 21], [0, 1])

    assert found.items.tolist() == [1, 1, 1]
    assert weekly_coverage(lists([0], [0]), found, 10) == pytest.approx(1 / 3)
    assert weekly_coverage(lists([], []), found, 10) == 0.0


def test_queries_are_no_items():
    assert asked_on([0, 1, 8, 14], [0, -1, 1, 2]).items.tolist() == [1, 2]


def test_popularity_is_taken_off_scores_and_the_answer_stays_as_it_was():
    answer = Answer(np.array([1.0, 0.9, -np.inf]), listed=np.array([1]), probability=np.ones(3))
    engaged = np.array([9, 0, 4])

    found = without_popularity(answer, 0.5, engaged)

    assert found.scores.tolist() == pytest.approx([1.0 - 0.5 * np.log(10), 0.9, -np.inf])
    assert (found.listed, found.probability) == (None, None)
    assert answer.scores.tolist() == [1.0, 0.9, -np.inf]
    assert without_popularity(answer, 0.0, engaged) is answer


def test_reranked_answers_are_those_of_a_contender_that_takes_popularity_off_itself():
    stream = random_stream(3)
    known = make_known(stream, more=2)
    end = warm_up_end(stream, 0.5)
    asked = questions(stream, known, end)
    table = np.random.default_rng(0).normal(0.0, 0.3, (stream.n_events, known.n_items))

    def penalised(at):
        had = stream.item[:at][stream.first[:at]]
        return table[at] - 0.4 * np.log(1 + np.bincount(had, minlength=known.n_items))

    contender = Fixed(lambda at: table[at])
    plain, reached = run_reranked(contender, stream, known, asked, end, (0.0, 0.4))

    assert plain.rank.tolist() == run(Fixed(lambda at: table[at]), stream, known, asked, end).rank.tolist()
    assert sum(call[0] == "ask" for call in contender.calls) == asked.at.size
    expected = by_hand(stream, known, end, penalised)
    assert reached.rank.tolist() == [each[1] for each in expected]
    assert [[j for j in row if j >= 0] for row in reached.listed.tolist()] == [each[3] for each in expected]
    assert reached.rank.tolist() != plain.rank.tolist()

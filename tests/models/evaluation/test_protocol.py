"""The protocol of `penchant evaluate` beside the same in plain Python, and what it promises to contenders."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_streams import MINUTE_MS, Fixed, by_hand, make_known, make_stream, random_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.contract import ALWAYS_MS, NEVER_MS
from models.evaluation.protocol import run
from models.evaluation.questions import questions, warm_up_end


def asked_of(stream, known, share=0.5):
    end = warm_up_end(stream, share)
    return end, questions(stream, known, end)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(1, 30), listed=st.booleans(), share=st.floats(0, 0.95))
def test_ranks_candidates_lists_and_novelty_are_those_of_plain_python(seed, levels, listed, share):
    stream = random_stream(seed)
    rng = np.random.default_rng(seed)
    known = make_known(stream, more=4)
    if listed:
        when = rng.choice([ALWAYS_MS, NEVER_MS, 20 * MINUTE_MS], known.n_items)
        known = known._replace(listed_from_ms=when.astype(np.int64))
    table = rng.integers(0, levels, (stream.n_events, known.n_items)).astype(float)
    end, asked = asked_of(stream, known, share)

    answers = run(Fixed(lambda at: table[at]), stream, known, asked, end)

    expected = by_hand(stream, known, end, lambda at: table[at])
    assert asked.at.tolist() == [each[0] for each in expected]
    assert answers.rank.tolist() == [each[1] for each in expected]
    assert answers.candidates.tolist() == [each[2] for each in expected]
    assert [[j for j in row if j >= 0] for row in answers.listed.tolist()] == [each[3] for each in expected]
    assert answers.novelty == pytest.approx([each[4] for each in expected])


def test_a_model_that_scores_everything_alike_is_in_the_middle_and_no_better():
    stream = random_stream(1, n=600, users=5, items=80, queries=0)
    known = make_known(stream)
    end, asked = asked_of(stream, known)

    answers = run(Fixed(lambda _: np.zeros(known.n_items)), stream, known, asked, end)

    assert (answers.rank[asked.known] == (answers.candidates[asked.known] + 1) / 2).all()


def test_every_event_from_the_mark_on_is_learned_once_and_after_it_was_asked_about():
    stream = random_stream(2)
    known = make_known(stream)
    end, asked = asked_of(stream, known)
    contender = Fixed(lambda _: np.zeros(known.n_items))

    run(contender, stream, known, asked, end)

    expected = [("warm_up", end)]
    for at in range(end, stream.n_events):
        expected += [("ask", at)] * (at in asked.at) + [("learn", at)]
    assert contender.calls == expected


def test_where_fewer_questions_are_asked_everything_is_learned_and_their_answers_are_the_same():
    stream = random_stream(2)
    known = make_known(stream)
    end, asked = asked_of(stream, known)
    few = asked.evenly(7)
    table = np.random.default_rng(0).integers(0, 9, (stream.n_events, known.n_items)).astype(float)
    contender = Fixed(lambda at: table[at])

    answers = run(contender, stream, known, few, end)

    assert [at for call, at in contender.calls if call == "learn"] == list(range(end, stream.n_events))
    chosen = np.isin(asked.at, few.at)
    assert answers.rank.tolist() == run(Fixed(lambda at: table[at]), stream, known, asked, end).rank[chosen].tolist()


@pytest.mark.parametrize(("limit", "expected"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10)))])
def test_questions_are_spread_evenly_from_the_first_to_the_last(limit, expected):
    stream = make_stream(list(range(10)), [0] * 10)
    asked = questions(stream, make_known(stream), 0)

    assert asked.evenly(limit).at.tolist() == expected
    assert asked.evenly(11) is asked


def test_what_a_user_disliked_or_only_saw_is_still_asked_about_when_it_is_liked():
    stream = make_stream([0, 0, 0, 0], [0, 1, 1, 1], positive=[True, False, True, True])

    assert questions(stream, make_known(stream), 0).at.tolist() == [0, 2]


def test_a_target_that_nobody_knew_is_behind_everything_and_in_no_list():
    stream = make_stream([0, 1, 0], [0, 1, 2])
    known = make_known(stream)
    asked = questions(stream, known, 2)

    answers = run(Fixed(lambda _: np.array([0.0, 0.0, 9.0])), stream, known, asked, 2)

    assert (asked.known.tolist(), answers.rank.tolist(), answers.candidates.tolist()) == ([False], [2.0], [2])
    assert answers.listed[0, :2].tolist() == [1, -1]


def test_an_item_of_the_catalogue_is_a_candidate_from_its_publication_on():
    stream = make_stream([0, 1, 2, 3], [0, 1, 0, 0])
    known = make_known(stream, more=2, listed_from_ms=[NEVER_MS, NEVER_MS, ALWAYS_MS, 3 * MINUTE_MS])
    asked = questions(stream, known, 1)

    answers = run(Fixed(lambda _: np.zeros(4)), stream, known, asked, 1)

    assert answers.candidates.tolist() == [3, 3, 4]  # 0, the one of the catalogue, 1; the same; and the new one


def test_lists_of_the_contenders_own_and_their_probabilities_are_kept():
    stream = make_stream([0, 1, 0], [0, 1, 1])
    known = make_known(stream, more=1, listed_from_ms=[NEVER_MS, NEVER_MS, ALWAYS_MS])
    own = {"listed": np.array([2, 1], np.int32), "probability": np.array([0.0, 0.25, 0.5])}

    answers = run(Fixed(lambda _: np.zeros(3), **own), stream, known, questions(stream, known, 2), 2)

    assert answers.own_lists
    assert answers.listed[0, :3].tolist() == [2, 1, -1]
    assert answers.probability[0, :2].tolist() == [0.5, 0.25]
    assert np.isnan(answers.probability[0, 2:]).all()


@pytest.mark.parametrize("scores", [np.array([0.0, np.nan]), np.zeros(1)])
def test_an_answer_that_is_none_is_a_fault_of_the_contender(scores):
    stream = make_stream([0, 1, 0], [0, 1, 1])
    known = make_known(stream)

    with pytest.raises(ValueError, match="score"):
        run(Fixed(lambda _: scores), stream, known, questions(stream, known, 2), 2)


def test_the_mark_is_counted_in_first_engagements_so_that_a_repeated_line_moves_nothing():
    user, item = [0, 0, 1, 1, 2], [0, 1, 0, 1, 2]
    twice = [0, 0, 0, 0, *user[2:]], [0, 0, 1, 1, *item[2:]]

    assert warm_up_end(make_stream(user, item), 0.8) == 4
    assert warm_up_end(make_stream(*twice), 0.8) == 6
    assert warm_up_end(make_stream(user, item), 1.0) == 5


def test_what_was_known_before_a_question_is_counted_from_smaller_positions_only():
    stream = make_stream([0, 1, 1, 0, 2], [0, 0, 1, 1, 0], time_ms=[0, 0, 5, 7, 7])
    asked = questions(stream, make_known(stream), 0)

    assert asked.history.tolist() == [0, 0, 1, 1, 0]
    assert asked.engaged.tolist() == [0, 1, 0, 1, 2]
    assert asked.seen.tolist() == [False, True, False, True, True]
    assert asked.seen_users.tolist() == [0, 1, 2, 2, 2]
    assert asked.user_gap_ms.tolist() == [NEVER_MS, NEVER_MS, 5, 7, NEVER_MS]

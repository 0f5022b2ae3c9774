"""Ahead, level, behind or too few, against the best baseline of each slice, and the sentence that says so."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.evaluation.verdict import FEWEST_QUESTIONS, FEWEST_USERS, JUDGED, as_json, judge_slices, sentence

Q = 600
USER = np.repeat(np.arange(60, dtype=np.int32), 10)
EVERY = np.ones(Q, bool)
NONE = np.zeros(Q, bool)


def parts(**masks):
    return dict.fromkeys(JUDGED, NONE) | {"all": EVERY} | masks


def noise(mean, seed=0):
    return np.random.default_rng(seed).normal(mean, 0.1, Q)


def judged(own, baselines, user=USER, **masks):
    return {row.part: row for row in judge_slices(own, baselines, parts(**masks), user, 0)}


@pytest.mark.parametrize(("lead", "mark"), [(0.05, "ahead"), (-0.05, "behind"), (0.0, "level")])
def test_the_mark_says_on_which_side_of_0_the_interval_lies(lead, mark):
    row = judged(noise(0.5 + lead), {"a": noise(0.5, seed=1)})["all"]

    assert row.mark == mark
    assert row.interval.low < row.difference < row.interval.high
    assert (row.interval.low > 0) == (mark == "ahead")
    assert (row.interval.high < 0) == (mark == "behind")


def test_the_best_baseline_is_that_of_the_slice_and_not_that_of_all_questions():
    early = np.arange(Q) < Q // 2
    a, b = np.where(early, 0.9, 0.1), np.where(early, 0.2, 0.3)

    rows = judged(noise(0.4), {"a": a, "b": b}, session_start=early, session_within=~early)

    assert {part: rows[part].best for part in ("all", "session_start", "session_within")} == {
        "all": "a",
        "session_start": "a",
        "session_within": "b",
    }
    assert (rows["session_start"].mark, rows["session_within"].mark) == ("behind", "ahead")
    assert rows["session_within"].difference == pytest.approx(rows["session_within"].value - 0.3)


def test_the_difference_is_paired():
    hard = np.random.default_rng(3).normal(0.0, 5.0, Q)

    row = judged(hard + 0.01, {"a": hard})["all"]

    assert row.mark == "ahead"
    assert row.interval == pytest.approx((0.01, 0.01))


def test_of_equals_the_first_is_named_and_who_is_equal_to_it_is_level():
    row = judged(noise(0.5), {"a": noise(0.5), "b": noise(0.5)})["all"]

    assert (row.best, row.difference, row.mark) == ("a", 0.0, "level")


def test_sums_that_cancel_but_for_rounding_are_level():
    own = np.tile([0.1, 0.2, 0.0], Q // 3)
    other = np.tile([0.0, 0.0, 0.1 + 0.2], Q // 3)

    assert judged(own, {"a": other}, user=np.repeat(np.arange(200, dtype=np.int32), 3))["all"].mark == "level"


@pytest.mark.parametrize(
    ("questions", "users", "mark"),
    [
        (FEWEST_QUESTIONS, FEWEST_USERS, "ahead"),
        (FEWEST_QUESTIONS - 1, FEWEST_USERS, "too few"),
        (FEWEST_QUESTIONS, FEWEST_USERS - 1, "too few"),
        (FEWEST_QUESTIONS, 1, "too few"),
    ],
)
def test_few_questions_or_few_users_are_not_judged_but_shown(questions, users, mark):
    user = (np.arange(Q) % users).astype(np.int32)

    row = judged(noise(0.9), {"a": noise(0.1)}, user=user, session_start=np.arange(Q) < questions)["session_start"]

    assert (row.questions, row.users, row.mark) == (questions, users, mark)
    assert row.value > row.best_value > 0


def test_a_slice_without_questions_has_no_figures_and_no_best_baseline():
    (row,) = (each for each in as_json(["a"], list(judged(noise(0.5), {"a": noise(0.1)}).values()))["rows"][-1:])

    assert row == {
        "slice": "items_unseen",
        "questions": 0,
        "users": 0,
        "value": None,
        "best": None,
        "best_value": None,
        "difference": {"mean": None, "interval": [None, None]},
        "mark": "too few",
    }


def test_the_sentence_counts_what_can_be_judged_and_names_who_is_ahead_of_penchant():
    early, late = np.arange(Q) < 200, np.arange(Q) >= 400
    middle = ~early & ~late
    own = np.where(early, 0.9, 0.2) + noise(0.0)
    other = noise(0.0, seed=5) + np.where(late, 0.5, 0.2)

    rows = judged(own, {"a": other}, session_start=early, session_within=late, users_under_5=middle)

    assert sentence(list(rows.values())) == (
        "Penchant is ahead of the best baseline in 2 of 4 slices, level in 1 (users with under 5 items); behind a for "
        "questions within a session. Too few to judge: newcomers, users not in the warm-up, session starts of "
        "returning users, items that 1 to 4 users had and items in no event before."
    )


def test_a_baseline_that_is_ahead_twice_is_named_once():
    half = np.arange(Q) < 300
    baselines = {"a": np.where(half, 0.9, 0.5), "b": np.where(half, 0.1, 0.9)}

    said = sentence(list(judged(noise(0.1), baselines, session_start=half, session_within=~half).values()))

    assert "; behind a for all questions and session starts; behind b for questions within a session." in said


def test_with_nothing_to_judge_by_or_nobody_to_beat_the_sentence_says_so():
    few = judge_slices(
        noise(0.5)[:5], {"a": noise(0.1)[:5]}, {name: mask[:5] for name, mask in parts().items()}, USER[:5], 0
    )

    assert sentence(few) == "Too few to judge by: no slice has 200 questions by 20 users."
    assert judge_slices(noise(0.5), {}, parts(), USER, 0) == []
    assert as_json([], [])["sentence"] == "No baseline took part, so there is nothing to be ahead of."
    assert as_json([], [])["rows"] == []


def test_figures_without_questions_are_nan_and_never_ahead():
    row = judged(noise(0.5), {"a": noise(0.1)})["items_1_to_4"]

    assert math.isnan(row.value)
    assert math.isnan(row.interval.low)
    assert row.mark == "too few"

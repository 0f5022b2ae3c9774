"""stream/refresh/question.py: what is asked does not depend on what came late."""

from __future__ import annotations

import numpy as np
import pytest
from sequential_reference import Event
from update_events import NOW_MS, PARAMS, apply_in_chunks

from models.items.co_occurrence import moment_bins
from models.items.index import ItemIndex
from stream.refresh.question import behaviours_of, ranking_question
from stream.state.record import RING, States

USERS = np.arange(3)


def asked(events):
    states = States(len(USERS))
    apply_in_chunks(states, events, [len(events)])
    now_ms, nothing = np.full(len(USERS), NOW_MS + 60_000), np.zeros((len(USERS), 0), np.int32)
    behaviours = behaviours_of(states, USERS, PARAMS)
    return ranking_question(states, USERS, behaviours, RING, ItemIndex(), nothing, now_ms)


@pytest.mark.parametrize("n", [3, RING - 1, RING, 2 * RING])
def test_the_context_is_that_of_the_newest_behaviour_not_of_the_one_that_came_last(n):
    events = [Event(0, i, NOW_MS + i, 100 + i, "view", context=1 + (i == n - 1)) for i in range(n)]
    late = Event(0, n, NOW_MS - 86_400_000, 7, "view", context=3)
    _, question = asked([*events, late])
    assert question.bins.tolist() == moment_bins(np.full(3, NOW_MS + 60_000), np.array([2, 0, 0], np.uint8)).tolist()


def test_the_context_of_somebody_who_was_only_shown_things_is_that_of_the_last_impression():
    shown = [Event(0, i, NOW_MS - i, 100 + i, "impression", context=1 + i) for i in range(40)]
    did = [Event(1, 50, NOW_MS - 9, 7, "view", context=4), Event(1, 51, NOW_MS, 8, "impression", context=5)]
    _, question = asked([each._replace(context=each.context % 8) for each in shown] + did)
    assert question.bins.tolist() == moment_bins(np.full(3, NOW_MS + 60_000), np.array([0, 4, 0], np.uint8)).tolist()
    _, question = asked([each._replace(context=1 + each.context % 7) for each in shown])
    assert question.bins[0].tolist() == moment_bins(np.array([NOW_MS]), np.array([1 + 40 % 7], np.uint8))[0].tolist()


def test_of_equal_times_the_context_is_that_of_the_one_that_came_last():
    _, question = asked([Event(0, i, NOW_MS, 100 + i, "view", context=1 + i) for i in range(3)])
    assert question.bins.tolist() == moment_bins(np.full(3, NOW_MS + 60_000), np.array([3, 0, 0], np.uint8)).tolist()


def test_a_late_event_is_behind_what_is_newer():
    events = [Event(0, i, NOW_MS + i, 100 + i, "view") for i in range(3)]
    recent, _ = asked([*events, Event(0, 3, NOW_MS - 86_400_000, 7, "view")])
    assert recent.items[0, :5].tolist() == [102, 101, 100, 7, 0]


def test_ages_are_those_of_the_newest_behaviour_with_each_item_relative_to_the_newest_of_all():
    times_s = ((100, 0), (101, 40), (100, 60), (102, 100))
    _, question = asked([Event(0, i, NOW_MS + 1000 * at, item, "view") for i, (item, at) in enumerate(times_s)])
    assert question.ages_s[0, :4].tolist() == [0, 40, 60, 0]
    assert not question.ages_s[1:].any()

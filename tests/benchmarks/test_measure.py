"""What the benchmarks compute from their readings, by hand-made readings whose answer is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.measure import (
    Events,
    Lists,
    Reading,
    answer_latencies_ms,
    events_per_s,
    growth,
    histogram_percentile,
    is_sustained,
    longest_gap_ms,
    percentiles,
    schedule_s,
    staged_schedule_s,
    steady_events_per_s,
)
from benchmarks.plots import _apart
from benchmarks.recovery import make_states
from benchmarks.workload import catalogue, events, passing_users, spread_events
from stream.state.record import MAX_PACKED_BYTES, NEVER, States, unpack


def _events(*rows: tuple[int, int, float]) -> Events:
    user, offset, due_ms = (np.array(column) for column in zip(*rows, strict=True))
    return Events(user, offset, due_ms.astype(float))


def _lists(*rows: tuple[int, int, float]) -> Lists:
    user, offset, appended_ms = (np.array(column) for column in zip(*rows, strict=True))
    return Lists(user, offset, appended_ms.astype(float))


def test_a_rate_needs_time_to_pass() -> None:
    assert events_per_s(300, 10.0, 12.0) == 150
    with pytest.raises(ValueError, match="nothing lies between"):
        events_per_s(300, 10.0, 10.0)


def test_the_schedule_is_even_and_does_not_depend_on_what_was_sent() -> None:
    assert schedule_s(4.0, 1.5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_an_event_is_answered_by_the_first_list_of_its_user_that_reflects_it() -> None:
    sent = _events((7, 10, 1000), (7, 12, 1100), (8, 11, 1050))
    lists = _lists((7, 10, 1030), (8, 11, 1090), (7, 12, 1160), (7, 12, 1300))
    assert answer_latencies_ms(sent, lists).tolist() == [30, 60, 40]


def test_one_list_answers_all_events_before_it() -> None:
    assert answer_latencies_ms(_events((1, 3, 0), (1, 4, 10), (1, 5, 20)), _lists((1, 5, 50))).tolist() == [50, 40, 30]


def test_a_list_of_another_user_or_of_an_older_event_answers_nothing() -> None:
    sent = _events((1, 5, 0), (2, 9, 0), (3, 1, 0))
    assert np.isinf(answer_latencies_ms(sent, _lists((1, 4, 10), (3, 9, 10), (4, 0, 10))))[[0, 1]].all()
    assert answer_latencies_ms(sent, _lists((1, 4, 10), (3, 9, 10)))[2] == 10


def test_a_list_published_again_after_a_crash_takes_no_answer_back() -> None:
    sent = _events((1, 5, 0), (1, 6, 0))
    assert answer_latencies_ms(sent, _lists((1, 5, 10), (1, 4, 20), (1, 6, 30))).tolist() == [10, 30]


def test_without_any_list_every_event_waits_for_ever() -> None:
    none = Lists(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    assert np.isinf(answer_latencies_ms(_events((1, 5, 0)), none)).all()


def test_percentiles_are_latencies_that_occurred_and_an_unanswered_event_is_the_latest_of_all() -> None:
    latencies = np.concatenate([np.arange(1, 1000.0), [np.inf]])
    figures = percentiles(latencies)
    assert (figures["p50"], figures["p90"], figures["p99"], figures["p99_9"]) == (500, 900, 990, 999)
    assert figures["max"] == np.inf
    with pytest.raises(ValueError, match="no latencies"):
        percentiles(np.empty(0))


def test_a_gap_reaches_from_one_list_to_the_next_and_to_the_ends_of_the_window() -> None:
    appended = np.array([50.0, 900, 100, 150, 400])
    assert longest_gap_ms(appended, 60, 500) == 250
    assert longest_gap_ms(appended, 410, 880) == 470
    assert longest_gap_ms(appended, 160, 401) == 240


def test_a_load_is_sustained_if_its_second_half_has_no_queue() -> None:
    assert is_sustained([900, 900, 10, 0, 20], rate=100)
    assert not is_sustained([0, 0, 200, 300, 400], rate=100)


def test_workers_are_counted_while_all_of_them_are_at_work() -> None:
    readings = [
        Reading(0.0, (0, 0)),
        Reading(1.0, (100, 0)),
        Reading(2.0, (200, 50)),
        Reading(3.0, (300, 150)),
        Reading(4.0, (300, 250)),
    ]
    assert steady_events_per_s(readings) == 200
    with pytest.raises(ValueError, match="never all at work"):
        steady_events_per_s([Reading(0.0, (0, 0)), Reading(1.0, (100, 0)), Reading(2.0, (100, 100))])


def test_growth_is_the_slope_of_the_second_half() -> None:
    assert growth([0, 1, 2, 3, 4, 5], [0, 50, 90, 100, 102, 104]) == pytest.approx(2)
    with pytest.raises(ValueError, match="does not change"):
        growth([0, 1, 1, 1], [1, 2, 3, 4])


def test_labels_of_a_picture_are_moved_apart_upwards() -> None:
    assert _apart([1.0, 1.1, 1.2, 3.0], 0.5) == [1.0, 1.5, 2.0, 3.0]


def test_the_states_that_recovery_is_measured_with_are_states_of_nobody_seen_yet() -> None:
    packed = make_states(300)
    states = States(len(packed))
    unpack(states, np.arange(len(packed)), packed)
    assert make_states(300) == packed
    assert max(map(len, packed)) <= MAX_PACKED_BYTES
    assert set(states.fence.tolist()) == {NEVER}
    assert states.events.min() >= 1
    assert len(set(packed)) == len(packed)


def test_the_even_workload_takes_everyone_through_the_same_number_of_events() -> None:
    users = [key for key, _ in spread_events(40, 10, stride=3)]
    assert all(set(users[i : i + 10]) == {f"u{3 * j}".encode() for j in range(10)} for i in range(0, 40, 10))
    assert users[:10] != users[10:20]


def test_workloads_are_the_same_every_time() -> None:
    assert list(events(50)) == list(events(50))
    assert list(events(50)) != list(events(50, seed=1))
    assert list(passing_users(100, 3)) == list(passing_users(99, 4))[1:]
    assert next(catalogue())[0] == b"i0"


def test_stages_follow_each_other_without_a_pause() -> None:
    assert staged_schedule_s([2.0, 1.0], 2.0).tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]


def test_a_percentile_of_a_histogram_lies_evenly_within_its_bucket() -> None:
    bounds, counts = (1.0, 2.0, 4.0, math.inf), (0.0, 50.0, 100.0, 100.0)
    assert [histogram_percentile(bounds, counts, q) for q in (25, 50, 75, 100)] == [1.5, 2.0, 3.0, 4.0]
    assert histogram_percentile(bounds, (0.0, 0.0, 0.0, 10.0), 50) == 4.0, "no more is known than that it is above"
    assert math.isnan(histogram_percentile(bounds, (0.0,) * 4, 50))

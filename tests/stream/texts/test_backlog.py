"""What goes into the next batch: bounded, nearly without padding, nobody starves, nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.encoder.contract import Prepared
from stream.texts.backlog import Backlog, BatchLimits, Entry, Priority, TimeFit, choose

LIMITS = st.builds(
    BatchLimits, st.integers(16, 512), st.integers(1, 64), st.integers(1, 8), overhead_tokens=st.integers(1, 64)
)
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=200)
WAITER = object()


def entry(tokens, priority=Priority.URGENT, at=0.0, name=b""):
    return Entry(name, Prepared("", np.zeros(0, np.int32), tokens), priority, at, [WAITER])


@given(LENGTHS, LIMITS)
def test_a_choice_holds_the_most_urgent_and_keeps_the_limits_unless_it_is_alone(lengths, limits):
    rows = choose(np.array(lengths), limits)
    assert 0 in rows
    assert len(set(rows.tolist())) == rows.size <= limits.max_texts
    chosen = np.array(lengths)[rows]
    assert rows.size == 1 or chosen.max() * rows.size <= limits.max_tokens


@given(LENGTHS, LIMITS)
def test_a_choice_is_the_most_useful_of_the_fullest_runs_of_neighbours_in_length(lengths, limits):
    def value(chosen):
        return sum(chosen) / (max(chosen) * len(chosen) + limits.overhead_tokens)

    ordered = sorted(lengths)
    head = ordered.index(lengths[0])
    runs = []
    for end in range(head + 1, len(ordered) + 1):
        fitting = [
            run
            for start in range(head + 1)
            if len(run := ordered[start:end]) <= limits.max_texts and max(run) * len(run) <= limits.max_tokens
        ]
        runs += fitting[:1]
    chosen = np.array(lengths)[choose(np.array(lengths), limits)].tolist()
    assert value(chosen) == pytest.approx(max(map(value, runs or [lengths[:1]])))


def test_texts_of_one_length_fill_the_budget():
    assert choose(np.full(100, 16), BatchLimits(512, 1000)).size == 32


def test_a_long_text_does_not_make_short_ones_pay_for_its_length():
    assert choose(np.array([10] * 40 + [250]), BatchLimits(512, 1000)).tolist() == list(range(40))


@given(st.lists(st.tuples(st.integers(1, 300), st.sampled_from(Priority)), min_size=1, max_size=300), LIMITS)
def test_taking_until_it_is_empty_gives_every_text_exactly_once(texts, limits):
    backlog = Backlog(ageing_s=5.0)
    entries = [entry(tokens, priority, float(i)) for i, (tokens, priority) in enumerate(texts)]
    for each in entries:
        backlog.add(each)
    taken = []
    while (batch := backlog.take(limits)) is not None:
        longest = max(e.prepared.tokens for e in batch.entries)
        assert batch.padded_tokens == longest * len(batch.entries)
        taken += batch.entries
    assert sorted(map(id, taken)) == sorted(map(id, entries))
    assert (backlog.texts, backlog.tokens, backlog.oldest_at()) == (0, 0, None)


@given(LENGTHS, LIMITS)
def test_the_oldest_of_a_priority_is_in_the_very_next_batch_so_nobody_starves(lengths, limits):
    backlog = Backlog(5.0)
    entries = [entry(tokens, at=float(i)) for i, tokens in enumerate(lengths)]
    for each in entries:
        backlog.add(each)
    waiting = list(entries)
    while waiting:
        batch = backlog.take(limits)
        assert waiting[0] in batch.entries
        waiting = [each for each in waiting if each not in batch.entries]


def test_urgent_texts_pass_periodic_ones_until_those_have_aged():
    backlog = Backlog(ageing_s=5.0)
    old, urgent, late = entry(8, Priority.PERIODIC, 0.0), entry(8, at=4.0), entry(8, at=6.0)
    for each in (old, urgent, late):
        backlog.add(each)
    one = BatchLimits(8, 1, window_batches=1)
    assert [backlog.take(one).entries for _ in range(3)] == [[urgent], [old], [late]]


def test_a_promoted_text_goes_with_the_urgent_ones():
    backlog = Backlog(ageing_s=1000.0)
    first, second, urgent = entry(8, Priority.PERIODIC, 0.0), entry(8, Priority.PERIODIC, 1.0), entry(8, at=2.0)
    for each in (first, second, urgent):
        backlog.add(each)
    backlog.promote(second)
    one = BatchLimits(8, 1, window_batches=1)
    assert [backlog.take(one).entries for _ in range(3)] == [[urgent], [second], [first]]


def test_texts_that_nobody_wants_any_more_are_dropped():
    backlog = Backlog(5.0)
    gone, wanted = entry(8), entry(9)
    gone.waiters.clear()
    backlog.add(gone)
    backlog.add(wanted)
    assert backlog.take(BatchLimits(512, 10)).entries == [wanted]
    assert (backlog.texts, backlog.tokens) == (0, 0)


def test_suspects_go_alone_and_in_turn_with_the_others():
    backlog = Backlog(5.0)
    suspects = [entry(8), entry(8)]
    for each in suspects:
        each.deaths = 1
        backlog.add(each)
    harmless = [entry(8), entry(8), entry(8)]
    for each in harmless:
        backlog.add(each)
    limits = BatchLimits(512, 2)
    batches = [backlog.take(limits) for _ in range(4)]
    assert [batch.reason for batch in batches] == ["alone", "full", "alone", "idle"]
    assert [batch.entries for batch in batches] == [suspects[:1], harmless[:2], suspects[1:], harmless[2:]]


@given(st.floats(1e-6, 1e-3), st.floats(0, 0.1), st.lists(st.integers(100, 5000), min_size=3, max_size=30, unique=True))
def test_the_fit_finds_a_line(per_token, base, sizes):
    fit = TimeFit()
    for size in sizes:
        fit.add(size, per_token * size + base)
    assert fit.seconds(10_000, 1000) == pytest.approx(per_token * 10_000 + 10 * base, rel=1e-3, abs=1e-6)


def test_the_fit_says_nothing_before_the_first_batch_and_the_average_rate_after_equal_ones():
    fit = TimeFit()
    assert fit.seconds(1000, 100) == 0.0
    for _ in range(5):
        fit.add(100, 0.5)
    assert fit.seconds(1000, 100) == pytest.approx(5.0)

"""What the sequence model looked at, for many users: bounded batches, the same for each as alone, in the score's units."""

from __future__ import annotations

import numpy as np
import pytest
from kafka_records import NOW_MS
from sequence_models import IDS, exported
from tracker_harness import opened

from models.hashing import item_hash
from models.sequence.leave_one_out import BASE_ROWS
from stream.analysis.person.sequence_reasons import sequence_reasons, to_json
from stream.refresh.sequence import open_sequence

USERS = ("ann", "bob", "eve", "nobody")


@pytest.fixture
def asked(tmp_path):
    """`(arguments of sequence_reasons, tracker)`: three users with 3, 1 and 5 items, and one with none."""
    exported(tmp_path / "model", text=False)
    with opened(tmp_path / "data") as harness:
        harness.catalogue(*IDS)
        harness.events(*(("ann", "click", f"i{n}") for n in range(3)), ("bob", "click", "i4"))
        harness.events(*(("eve", "click", f"i{n}") for n in range(5, 10)), ("nobody", "impression", "i1"))
        overlay = harness.users.overlay
        rows = overlay.rows([user.encode() for user in USERS])
        index = harness.tracker.knowledge.index
        dense = index.lookup(np.array([item_hash(each) for each in ("i10", "i11", "i3")], np.uint64)).astype(np.int32)
        listed = np.stack([np.append(dense, -1)] * len(USERS)).astype(np.int32)
        weight = np.array([2.0, 1.0, 0.5, 1.0])
        now_ms = np.full(len(USERS), NOW_MS + 1000)
        yield (open_sequence(tmp_path / "model"), overlay.states, rows, listed, now_ms, weight, index)


def test_batches_are_bounded_and_every_user_comes_once_in_order(asked):
    everything = list(sequence_reasons(*asked))
    few = list(sequence_reasons(*asked, max_rows=5 + BASE_ROWS))
    none = list(sequence_reasons(*asked, max_rows=1))

    assert [len(batch) for batch in everything] == [4]
    assert [len(batch) for batch in few] == [1, 1, 1, 1] or max(map(len, few)) <= 2
    assert [len(batch) for batch in none] == [1, 1, 1, 1]  # a single history may have more
    flat = [user for batch in few for user in batch]
    for one, other in zip(everything[0], flat, strict=True):
        assert [reason.item for reason in one] == [reason.item for reason in other]
        for a, b in zip(one, other, strict=True):
            assert a.expectation == pytest.approx(b.expectation, abs=1e-3)
            assert a.residual == pytest.approx(b.residual, abs=1e-2)


def test_the_numbers_are_in_units_of_the_score_and_the_residual_is_what_is_left(asked):
    (found,) = sequence_reasons(*asked)
    model, states, rows, listed, now_ms, weight, index = asked
    (doubled,) = sequence_reasons(model, states, rows, listed, now_ms, 2.0 * weight, index)

    assert any(found)
    for one, other in zip(found, doubled, strict=True):
        for a, b in zip(one, other, strict=True):
            told = sum(event.difference for event in a.events)
            assert a.of_nobody + told + a.residual == pytest.approx(a.expectation)
            assert b.expectation == pytest.approx(2.0 * a.expectation)
            assert b.residual == pytest.approx(2.0 * a.residual, abs=1e-5)
            sizes = [abs(event.difference) for event in a.events]
            assert sizes == sorted(sizes, reverse=True)
    # Two runs of the network, in batches of other sizes: some processors round differently.
    assert all(not reason.events and reason.residual == pytest.approx(0.0, abs=1e-5) for reason in found[3])


def test_it_is_never_said_to_add_up(asked):
    (found,) = sequence_reasons(*asked)
    told = to_json(found[0][0], str)
    assert told["is_additive"] is False
    assert told["method"] == "leave_one_out"
    assert {"residual", "of_nobody", "expectation", "events"} <= set(told)


def test_of_nobody_there_is_no_batch(asked):
    model, states, rows, listed, now_ms, weight, index = asked
    assert list(sequence_reasons(model, states, rows[:0], listed[:0], now_ms[:0], weight[:0], index)) == []

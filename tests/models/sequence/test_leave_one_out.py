"""The sequence model without each event: one batch, gaps taken anew, a residual that is named; it agrees with one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_models import IDS, SHAPE, exported

from models.hashing import item_hash
from models.items.index import ItemIndex
from models.sequence.expectation import expectation
from models.sequence.leave_one_out import BASE_ROWS, expected_with, leave_one_out, with_only
from models.sequence.model import SequenceModel

NOW_MS = 1_700_000_000_000
HASHES = np.array([item_hash(each) for each in IDS], np.uint64)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sequence") / "model"
    exported(directory)
    return SequenceModel.open(directory)


@pytest.fixture(scope="module")
def index():
    made = ItemIndex()
    made.intern(HASHES)
    return made


def histories(lengths, seed=0):
    rng = np.random.default_rng(seed)
    items, times_ms = np.zeros((len(lengths), SHAPE.length), np.uint64), np.zeros((len(lengths), SHAPE.length), int)
    for u, n in enumerate(lengths):
        items[u, :n] = HASHES[rng.permutation(len(IDS))[:n]]
        times_ms[u, :n] = NOW_MS - np.sort(rng.integers(1, 10**9, n))[::-1]
    return items, times_ms, np.array(lengths)


def alone(model, index, items, times_ms, asked):
    """Expectation of one history, not in a batch: (c,)."""
    n = len(items)
    found = expectation(model, items[None], times_ms[None], np.array([n]), np.array([NOW_MS]), index)
    told = dict(zip(found.items[0].tolist(), found.values[0].tolist(), strict=True))
    return [told.get(each, 0.0) for each in asked]


def test_what_is_left_out_leaves_no_gap():
    items, times_ms = np.array([7, 8, 9], np.uint64), np.array([10, 20, 30])

    found = with_only(items, times_ms, np.array([[True, True, True], [True, False, True], [False] * 3]))

    assert found[0].tolist() == [[7, 8, 9], [7, 9, 0], [0, 0, 0]]
    assert found[1].tolist() == [[10, 20, 30], [10, 30, 0], [0, 0, 0]]
    assert found[2].tolist() == [3, 2, 0]


def test_each_difference_is_that_of_the_history_without_the_event(model, index):
    items, times_ms, lengths = histories([6, 3, 0, 1])
    asked = np.array([[0, 5, 11]] * 4, np.int32)

    found = leave_one_out(model, items, times_ms, lengths, np.full(4, NOW_MS), index, asked)

    for u, each in enumerate(found):
        n = lengths[u]
        own, when = items[u, :n], times_ms[u, :n]
        assert each.items.tolist() == own.tolist()
        assert each.whole == pytest.approx(alone(model, index, own, when, asked[u]), abs=1e-3)
        assert each.nothing == pytest.approx(alone(model, index, own[:0], when[:0], asked[u]), abs=1e-3)
        assert each.without.shape == (n, 3)
        for event in range(n):
            left = alone(model, index, np.delete(own, event), np.delete(when, event), asked[u])
            assert each.without[event] == pytest.approx(left, abs=1e-3)
        assert each.residual == pytest.approx(each.whole - each.nothing - each.differences.sum(axis=0))
    assert max(np.abs(each.differences).max(initial=0) for each in found) > 0.1
    assert np.abs(found[0].residual).max() > 0.01  # it does not add up
    assert found[3].residual == pytest.approx(np.zeros(3), abs=1e-3)  # but for one event it must


def test_all_variants_of_all_users_are_one_batch(model, index, monkeypatch):
    sizes = []
    queries = model.queries

    def counted(history, *arguments):
        sizes.append(len(history))
        return queries(history, *arguments)

    monkeypatch.setattr(model, "queries", counted)
    items, times_ms, lengths = histories([6, 3])
    leave_one_out(model, items, times_ms, lengths, np.full(2, NOW_MS), index, np.zeros((2, 1), np.int32))

    assert sizes == [6 + 3 + 2 * BASE_ROWS]


def test_a_place_without_an_item_is_expected_of_nobody(model, index):
    items, times_ms, lengths = histories([4])
    (found,) = leave_one_out(model, items, times_ms, lengths, np.array([NOW_MS]), index, np.array([[-1, 2]], np.int32))
    assert found.whole[0] == 0.0
    assert found.differences[:, 0].tolist() == [0.0] * 4
    assert (
        leave_one_out(model, items[:0], times_ms[:0], lengths[:0], np.zeros(0, int), index, np.zeros((0, 1), np.int32))
        == []
    )


def test_any_set_of_events_can_be_asked_for(model, index):
    items, times_ms, _ = histories([4])
    asked = np.array([3], np.int32)
    present = np.array([[True, False, True, True], [False] * 4])

    found = expected_with(model, items[0, :4], times_ms[0, :4], present, NOW_MS, index, asked)

    kept = [0, 2, 3]
    assert found[0] == pytest.approx(alone(model, index, items[0, kept], times_ms[0, kept], asked), abs=1e-3)
    assert found[1] == pytest.approx(alone(model, index, items[0, :0], times_ms[0, :0], asked), abs=1e-3)

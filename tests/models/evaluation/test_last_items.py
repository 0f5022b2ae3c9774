"""Each user's last item asked for: how events are cut and ranked, beside the same in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_streams import MINUTE_MS, Fixed, make_known, make_stream, random_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.baselines.popularity import Popularity
from models.evaluation.contract import Setup
from models.evaluation.last_items import FEWEST, last_items, per_question, ranks


def named(cut, part):
    """`(user, item id)` of a part of the events."""
    rows = range(*part.indices(cut.stream.n_events))
    return [(int(cut.stream.user[n]), cut.known.item_ids[cut.stream.item[n]]) for n in rows]


def parts_of(cut):
    return (slice(0, cut.validation_at), slice(cut.validation_at, cut.test_at), slice(cut.test_at, None))


def test_the_last_item_is_asked_for_the_one_before_is_for_validation_by_hand():
    # User 0 has four items, user 1 three, user 2 only two; user 0's second event about item 0 is none.
    stream = make_stream([0, 1, 0, 0, 2, 1, 0, 1, 2, 0], [0, 1, 2, 0, 0, 3, 4, 2, 5, 1])
    cut = last_items(stream, make_known(stream), "file")
    names = ["i0", "i1", "i2", "i3", "i4", "i5"]
    assert cut.known.item_ids == [names[n] for n in (0, 1, 2, 5, 3, 4)]  # by first appearance once cut
    learned, validation, last = (named(cut, part) for part in parts_of(cut))
    assert learned == [(0, "i0"), (1, "i1"), (0, "i2"), (2, "i0"), (2, "i5")]
    assert validation == [(1, "i3"), (0, "i4")]
    assert last == [(1, "i2"), (0, "i1")]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [(["9", "10", "2", "30"], ["2", "9", "10", "30"]), (["b9", "b10", "a", "c"], ["a", "b10", "b9", "c"])],
)
def test_events_of_one_time_stand_in_the_order_of_the_file_or_of_item_ids(ids, expected):
    stream = make_stream([0] * 4, [0, 1, 2, 3], [MINUTE_MS] * 4)
    known = make_known(stream)._replace(item_ids=ids)
    for ties, order in (("file", ids), ("item-id", expected)):
        cut = last_items(stream, known, ties)
        assert [item for _, item in named(cut, slice(0, None))] == order


def test_an_earlier_event_is_earlier_whatever_its_item_is_called():
    stream = make_stream([0] * 3, [0, 1, 2], [0, MINUTE_MS, 2 * MINUTE_MS])
    known = make_known(stream)._replace(item_ids=["3", "2", "1"])
    assert named(last_items(stream, known, "item-id"), slice(2, None)) == [(0, "1")]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.sampled_from(["file", "item-id"]), levels=st.integers(1, 20))
def test_parts_and_ranks_are_those_of_plain_python(seed, ties, levels):
    stream = random_stream(seed)
    known = make_known(stream, more=3)
    cut = last_items(stream, known, ties)
    had = {}
    for at in np.flatnonzero(stream.first).tolist():
        item = int(stream.item[at])
        tie = at if ties == "file" else sorted(known.item_ids).index(known.item_ids[item])
        had.setdefault(int(stream.user[at]), []).append((int(stream.time_ms[at]), tie, known.item_ids[item]))
    orders = {user: [row[2] for row in sorted(rows)] for user, rows in had.items()}
    asked = {user: order for user, order in orders.items() if len(order) >= FEWEST}
    learned, validation, last = (named(cut, part) for part in parts_of(cut))
    assert dict(last) == {user: order[-1] for user, order in asked.items()}
    assert dict(validation) == {user: order[-2] for user, order in asked.items()}
    for user, order in orders.items():
        assert [item for u, item in learned if u == user] == (order[:-2] if user in asked else order)
    assert (np.diff(cut.stream.time_ms[: cut.validation_at]) >= 0).all()

    rng = np.random.default_rng(seed)
    table = rng.integers(0, levels, (stream.n_events, cut.known.n_items)).astype(float)
    found = ranks(Fixed(lambda at: table[at]), cut)
    for n, (user, target) in enumerate(last):
        scores = dict(zip(cut.known.item_ids, table[cut.test_at + n].tolist(), strict=True))
        others = set(scores) - set(orders[user])
        above = sum(scores[item] > scores[target] for item in others)
        assert found[n] == 1 + above + sum(scores[item] == scores[target] for item in others) / 2


def test_nobody_with_three_items_is_nothing_to_ask():
    stream = make_stream([0, 0, 1, 1, 1], [0, 1, 2, 2, 3])
    assert last_items(stream, make_known(stream), "file") is None


def test_what_is_asked_for_is_not_counted_before():
    users = [u for u in range(6) for _ in range(4)]
    items = [n for u in range(6) for n in (u, u + 6, u + 12, 99)]  # everybody's last item is the same
    stream = make_stream(users, items)
    cut = last_items(stream, make_known(stream), "file")
    contender = Popularity(Setup())
    contender.warm_up(cut.stream, cut.known, cut.test_at)
    assert contender.ask(cut.test_at).scores[cut.stream.item[cut.test_at]] == 0
    assert (ranks(contender, cut) > 10).all()


def test_an_answer_that_is_none_is_a_fault_of_the_contender():
    stream = random_stream(1)
    cut = last_items(stream, make_known(stream), "file")
    for scores in (np.zeros(3), np.full(cut.known.n_items, np.nan)):
        with pytest.raises(ValueError, match="score"):
            ranks(Fixed(lambda _, scores=scores: scores), cut)


def test_figures_by_hand():
    found = {name: values.mean() for name, values in per_question(np.array([1.0, 3.0, 15.0, 40.0])).items()}
    assert found == {
        "hr@10": pytest.approx(0.5),
        "hr@20": pytest.approx(0.75),
        "ndcg@10": pytest.approx((1 + 0.5) / 4),
        "ndcg@20": pytest.approx((1 + 0.5 + 0.25) / 4),
        "mrr": pytest.approx((1 + 1 / 3 + 1 / 15 + 1 / 40) / 4),
    }

"""The compiled writer: what it writes is read back as what msgspec writes of the same numbers."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.vocabulary import ACTIONS, STRATEGIES
from stream.refresh.json_bytes import MILLION, Ids, json_texts
from stream.refresh.reason_bytes import PlaceNumbers, behaviours_json, places_json
from stream.wire.reasons import CitedBehaviour, PlaceCause, PlaceReason

FIXED = settings(derandomize=True, deadline=None, max_examples=80)
MILLIONTHS = st.integers(-(10**15), 10**15) | st.integers(-1100, 1100) | st.sampled_from([0, 1, -1, MILLION, 10**6 * 7])
NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12) | st.sampled_from(
    ['"', "\\", "\n", "登"]
)


def ids_of(texts):
    data, ends = json_texts(texts)
    return Ids(data.copy(), ends[:-1], ends[1:])  # writable, as those of `Words`: else it is compiled twice


@st.composite
def places(draw):
    f, p = draw(st.integers(0, 5)), draw(st.integers(1, 4))
    counts = [draw(st.integers(0, 3)) for _ in range(f)]
    c = sum(counts)

    def column(of, n):
        return np.array([draw(of) for _ in range(n)], np.int64)

    numbers = PlaceNumbers(
        column(MILLIONTHS, f * p).reshape(f, p),
        column(MILLIONTHS, f),
        column(st.integers(0, 30), f),
        column(st.integers(0, len(STRATEGIES) - 1), f).astype(np.uint8),
        column(st.integers(0, 120), c),
        column(MILLIONTHS, c),
        np.cumsum([0, *counts]),
    )
    if draw(st.booleans()):
        numbers = numbers._replace(
            propensity=column(st.integers(1, MILLION) | st.just(MILLION), f),
            moved_by=column(st.integers(0, 2), f).astype(np.int16),
            promoted=column(st.integers(0, 1), f).astype(np.bool_),
            names=("", "fatigue", 'rule:"a"'),
        )
    ids = [draw(NAMES) for _ in range(f)]
    cut = draw(st.integers(0, f))
    return ids, numbers, np.array([0, cut, cut, f])


def placed(n, f):
    """What is written of how a place came to be: what differs from the defaults."""
    if not len(n.propensity):
        return {}
    told = {}
    if n.propensity[f] != MILLION:
        told["propensity"] = int(n.propensity[f]) / MILLION
    if n.moved_by[f]:
        told["moved_by"] = n.names[n.moved_by[f]]
    if n.promoted[f]:
        told["promoted"] = True
    return told


def by_msgspec(ids, n):
    """The same places as records."""
    return [
        PlaceReason(
            item_id,
            int(n.parts[f].sum()) / MILLION,
            tuple((n.parts[f] / MILLION).tolist()),
            tuple(
                PlaceCause(int(n.behaviour[c]), int(n.value[c]) / MILLION) for c in range(n.bounds[f], n.bounds[f + 1])
            ),
            int(n.others[f]) / MILLION,
            int(n.reason[f]),
            STRATEGIES[n.strategy[f]],
            **placed(n, f),
        )
        for f, item_id in enumerate(ids)
    ]


@FIXED
@given(places())
def test_places_are_read_back_as_those_that_msgspec_would_write(given_):
    ids, numbers, starts = given_
    slices = places_json(ids_of(ids), numbers, starts)
    expected = by_msgspec(ids, numbers)
    for u in range(3):
        written = b"[%b]" % slices.of(u)
        assert msgspec.json.decode(written, type=list[PlaceReason]) == expected[starts[u] : starts[u + 1]]
        for place, f in zip(json.loads(written, parse_float=Decimal), range(starts[u], starts[u + 1]), strict=True):
            assert [Decimal(each) * MILLION for each in place["parts"]] == numbers.parts[f].tolist()
            assert Decimal(place["score"]) * MILLION == int(numbers.parts[f].sum())
        keys = [list(place) for place in json.loads(written)]
        again = [list(place) for place in json.loads(msgspec.json.encode(expected[starts[u] : starts[u + 1]]))]
        assert keys == again, "people read these in the documented order"


@FIXED
@given(st.lists(NAMES, min_size=1, max_size=4), st.data())
def test_behaviours_are_read_back_as_those_that_msgspec_would_write(names, data):
    rows = data.draw(
        st.lists(st.tuples(st.integers(0, len(names) - 1), st.sampled_from(ACTIONS), st.integers(-5, 2**53)))
    )
    name, time_ms = (np.array([row[i] for row in rows], np.int64) for i in (0, 2))
    action = np.array([ACTIONS.index(row[1]) for row in rows], np.uint8)
    cut = data.draw(st.integers(0, len(rows)))
    slices = behaviours_json(ids_of([names[i] for i in name]), action, time_ms, np.array([0, cut, len(rows)]))
    expected = [CitedBehaviour(names[i], each, ms) for i, each, ms in rows]
    for u, part in enumerate((expected[:cut], expected[cut:])):
        assert msgspec.json.decode(b"[%b]" % slices.of(u), type=list[CitedBehaviour]) == part


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "0.000001"), (-1, "-0.000001"), (1_500_000, "1.5"), (-12_000_000, "-12"), (10, "0.00001")],
)
def test_a_number_has_no_more_digits_than_it_needs(value, text):
    one, none = np.zeros(1, np.int64), np.zeros(0, np.int64)
    numbers = PlaceNumbers(np.array([[value]]), one, one, one.astype(np.uint8), none, none, np.zeros(2, np.int64))
    (place,) = json.loads(b"[%b]" % places_json(ids_of(["i"]), numbers, np.array([0, 1])).of(0), parse_float=str)
    assert str(place["parts"][0]) == text


def test_the_largest_numbers_there_are_fit():
    most = np.iinfo(np.int64).max
    f, c = 3, 30
    full, ends = np.full(f, most), np.arange(0, c + 1, c // f)
    numbers = PlaceNumbers(
        np.full((f, 1), -most), full, full, np.full(f, 2, np.uint8), np.full(c, most), np.full(c, -most), ends
    )
    (places,) = [json.loads(b"[%b]" % places_json(ids_of(["i"] * f), numbers, np.array([0, f])).of(0))]
    assert [len(place["causes"]) for place in places] == [10, 10, 10]
    assert places[0]["reason"] == most

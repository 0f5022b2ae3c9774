"""Places of lists by the compiled writer are what msgspec writes of them, byte for byte."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.vocabulary import STRATEGIES
from stream.refresh.json_bytes import Ids, json_texts
from stream.refresh.list_bytes import ListedPlaces, list_places_json
from stream.wire.records import RecommendedItem

FLOATS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1.0, 1e-300, 5e-324, 1e22])
NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
PLACES = st.tuples(
    NAMES, st.integers(1, 255), st.integers(0, len(STRATEGIES) - 1), FLOATS, FLOATS, st.tuples(FLOATS, FLOATS, FLOATS)
)
MOVES = ("", "diversity", 'rule:"a"')
MOVED = st.tuples(st.floats(1e-6, 1.0), st.integers(0, len(MOVES) - 1), st.booleans())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(PLACES, max_size=6), st.lists(NAMES, min_size=3, max_size=3, unique=True), st.data())
def test_the_same_bytes_as_by_msgspec(places, names, data):
    cut = data.draw(st.integers(0, len(places)))
    ids = json_texts([place[0] for place in places])
    columns = ListedPlaces(
        np.array([place[1] for place in places], np.int64),
        np.array([place[2] for place in places], np.uint8),
        np.array([place[3] for place in places], float),
        np.array([place[4] for place in places], float),
        np.array([place[5] for place in places], float).reshape(-1, 3),
    )
    slices = list_places_json(
        Ids(ids.data.copy(), ids.ends[:-1], ids.ends[1:]), columns, tuple(names), np.array([0, cut, len(places)])
    )
    expected = [
        RecommendedItem(item, rank, score, probability, STRATEGIES[code], 1.0, dict(zip(names, parts, strict=True)))
        for item, rank, code, score, probability, parts in places
    ]
    for u, part in enumerate((expected[:cut], expected[cut:])):
        assert b"[%b]" % slices.of(u) == msgspec.json.encode(part)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.tuples(PLACES, MOVED), max_size=5), st.lists(NAMES, min_size=3, max_size=3, unique=True))
def test_places_that_something_moved_say_so_as_by_msgspec(places, names):
    ids = json_texts([place[0] for place, _ in places])
    columns = ListedPlaces(
        np.array([place[1] for place, _ in places], np.int64),
        np.array([place[2] for place, _ in places], np.uint8),
        np.array([place[3] for place, _ in places], float),
        np.array([place[4] for place, _ in places], float),
        np.array([place[5] for place, _ in places], float).reshape(-1, 3),
        np.array([moved[0] for _, moved in places], float),
        np.array([moved[1] for _, moved in places], np.int16),
        np.array([moved[2] for _, moved in places], np.bool_),
        MOVES,
    )
    slices = list_places_json(
        Ids(ids.data.copy(), ids.ends[:-1], ids.ends[1:]), columns, tuple(names), np.array([0, len(places)])
    )
    expected = [
        RecommendedItem(
            item, rank, score, probability, STRATEGIES[code], round(propensity, 9), dict(zip(names, parts, strict=True)),
            MOVES[move] or msgspec.UNSET, promoted or msgspec.UNSET,
        )
        for (item, rank, code, score, probability, parts), (propensity, move, promoted) in places
    ]  # fmt: skip
    assert b"[%b]" % slices.of(0) == msgspec.json.encode(expected)

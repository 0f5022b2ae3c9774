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

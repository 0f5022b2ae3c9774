"""What is said of lists by arm, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.hashing import item_hash
from stream.analysis.experiments.guardrails import guardrails
from stream.analysis.experiments.lists import LastList


def of(arm, items, late_ms=None):
    return LastList(arm, np.array([item_hash(item) for item in items], np.uint64).tobytes(), late_ms)


def test_lists_that_are_alike_have_everything_in_common_and_others_nothing():
    lists = {f"c{n}": of("control", ["a", "b"], 1000 * n) for n in range(3)}
    lists |= {f"t{n}": of("treatment", [f"i{n}", f"j{n}"]) for n in range(3)}
    kinds = {item_hash("a"): 0b01, item_hash("b"): 0b11, item_hash("i0"): 0b1}

    found = guardrails(lists, kinds)

    assert found["control"] == {
        "lists": 3, "places": 2.0, "items": 2, "in_common": 1.0, "categories": 2.0, "late_s_median": 1.0,
        "late_s_95": pytest.approx(1.9),
    }  # fmt: skip
    assert found["treatment"]["in_common"] == 0.0
    assert found["treatment"]["items"] == 6
    assert found["treatment"]["categories"] == pytest.approx(1 / 3)
    assert found["treatment"]["late_s_median"] is None


def test_arms_are_compared_over_as_many_lists():
    lists = {f"c{n}": of("control", [f"a{n}"]) for n in range(90)} | {f"t{n}": of("treatment", ["b"]) for n in range(9)}

    found = guardrails(lists, {})

    assert (found["control"]["items"], found["control"]["lists"], found["treatment"]["items"]) == (9, 9, 1)
    assert found["control"]["categories"] is None
    assert guardrails({}, {}) == {}

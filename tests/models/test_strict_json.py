"""JSON without NaN."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.strict_json import strict_json


def refuse(constant: str) -> None:
    pytest.fail(constant)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_whatever_is_written_is_json_for_every_reader(value: Any) -> None:
    json.loads(strict_json(value), parse_constant=refuse)


def test_only_numbers_that_do_not_exist_become_null() -> None:
    value = {"a": [float("nan"), 1.5, (float("inf"), "é")], "b": {"c": -float("inf"), "d": None, "e": True}}

    assert strict_json(value) == '{"a": [null, 1.5, [null, "é"]], "b": {"c": null, "d": null, "e": true}}'

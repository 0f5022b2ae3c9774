"""Queries, bodies and ids as types; what does not fit is told by its name."""

from __future__ import annotations

import pytest

from stream.serve.errors import RefusedQuestionError
from stream.serve.http.reading import PAIRS_MAX, body_as, id_of, query_as
from stream.serve.questions import ListQuestion, WhatIfQuestion


def test_a_query_has_defaults_and_lists():
    question = query_as(ListQuestion, [("n", "5"), ("exclude", "a"), ("exclude", "b"), ("explain", "true")])
    assert (question.n, question.exclude, question.explain, question.placement) == (5, ("a", "b"), True, "home")
    assert query_as(ListQuestion, [("context.device", "phone")]).device == "phone"


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([("n", "201")], "n"),
        ([("n", "")], "n"),
        ([("n", "1e3")], "n"),
        ([("n", "1"), ("n", "1")], "n"),
        ([("exclude", "x" * 200)], "exclude"),
        ([("price_max", "-1")], "price_max"),
        ([("price_max", "inf")], "price_max"),
        ([("explain", "maybe")], "explain"),
        ([("what", "1")], "what"),
        ([("device", "phone")], "device"),
        ([("exclude", "a")] * (PAIRS_MAX + 1), None),
    ],
)
def test_what_is_wrong_with_a_query_is_told_by_name(pairs, field):
    with pytest.raises(RefusedQuestionError) as refused:
        query_as(ListQuestion, pairs)
    assert refused.value.field == field
    assert refused.value.detail


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "$"),
        (b"{", "$"),
        (b"[]", "$"),
        (b'{"without":[""]}', "$.without[0]"),
        (b'{"weights":{"trend":-1}}', "$.weights[...]"),
        (b'{"at":-5}', "$.at"),
        (b'{"unknown":1}', "unknown"),
        (b"[" * 100_000, "$"),
        (b'{"with":["\xff"]}', "$"),
    ],
)
def test_what_is_wrong_with_a_body_is_told_by_its_path(body, field):
    with pytest.raises(RefusedQuestionError) as refused:
        body_as(WhatIfQuestion, body)
    assert refused.value.field == field


def test_ids_are_percent_encoded_utf_8_of_so_many_bytes():
    assert id_of("a%2Fb%00%20", "user_id") == "a/b\x00 "
    assert id_of("%E4%BD%A0", "user_id") == "你"
    for raw in ("", "%FF", "%ED%A0%80", "x" * 129, "%E4%BD%A0" * 43):
        with pytest.raises(RefusedQuestionError) as refused:
            id_of(raw, "user_id")
        assert refused.value.field == "user_id"

"""Questions as requests: what stands in the path, the query, the body; responses as answers or errors."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.client import asked, routes
from stream.client.errors import PenchantHTTPError
from stream.client.request import path_of, query_of, read, read_line
from stream.serve import questions
from stream.serve.answers import ItemsAnswer, ListAnswer, Problem, SentEvent
from stream.wire.records import Event

SENT = SentEvent("interest.events", 1, 42)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_id_is_one_segment_of_a_path_whatever_is_in_it(user_id: str) -> None:
    path = path_of("v1", "users", user_id)

    assert path.isascii()
    assert path.count("/") == 3
    assert not set(path) & set("?# ")
    assert path.rpartition("/")[2] not in {".", ".."}


def test_an_empty_id_would_name_another_route() -> None:
    with pytest.raises(ValueError, match="an id is empty"):
        routes.item("")


def test_what_was_not_said_is_not_sent() -> None:
    assert routes.recommendations("ann", None, {}).query == ()
    assert query_of(questions.ListQuestion(n=20, explain=False)) == ()


def test_a_query_names_each_field_as_the_wire_does_and_each_of_several_values_by_itself() -> None:
    question = questions.ListQuestion(exclude=("a", "b"), explain=True, device="phone", price_max=9.5)

    assert query_of(question) == (
        ("exclude", "a"),
        ("exclude", "b"),
        ("price_max", "9.5"),
        ("explain", "true"),
        ("context.device", "phone"),
    )


def test_one_string_where_several_are_expected_is_one_value() -> None:
    assert routes.trending("tea", 20).query == (("category", "tea"),)


@pytest.mark.parametrize(
    ("after", "query"), [(SENT, ("min_offset", "42")), ("event-1", ("after", "event-1"))], ids=["sent", "event_id"]
)
def test_the_list_after_an_event_is_asked_for_by_its_offset_or_its_id(
    after: SentEvent | str, query: tuple[str, str]
) -> None:
    request = routes.recommendations("ann", after, {"wait_ms": 2000})

    assert query in request.query
    assert request.wait_s == 2.0, "the server may take so much longer"


def test_who_waits_for_nothing_gives_the_server_no_longer() -> None:
    assert routes.recommendations("ann", None, {"wait_ms": 2000}).wait_s == 0.0


def test_two_ways_to_say_after_what_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="give one of them"):
        routes.recommendations("ann", SENT, {"min_offset": 3})


def test_a_misspelt_field_is_named() -> None:
    with pytest.raises(TypeError, match="placements"):
        routes.recommendations("ann", None, {"placements": "home"})


def test_a_body_has_the_names_of_the_wire_and_what_was_said() -> None:
    assert msgspec.json.decode(routes.what_if("ann", {"with_": ["cup"]}).body or b"") == {"with": ["cup"]}
    events = [questions.SessionEvent("click", "cup")]
    body = msgspec.json.decode(routes.session_recommendations({"events": events, "n": 3}).body or b"")
    assert body == {"n": 3, "events": [{"action": "click", "item_id": "cup"}]}


def test_a_rule_goes_as_it_is_and_none_withdraws_it() -> None:
    assert msgspec.json.decode(routes.publish_rule("r", {"kind": "bury"}).body or b"") == {
        "key": "r",
        "rule": {"kind": "bury"},
    }
    assert msgspec.json.decode(routes.publish_rule("r", None).body or b"") == {"key": "r", "rule": None}


def test_an_event_gets_an_id_so_that_it_counts_once() -> None:
    first, second = (msgspec.json.decode(routes.send("ann", "click", "cup", {}).body or b"", type=Event) for _ in "ab")
    named = msgspec.json.decode(
        routes.send("ann", "query", None, {"text": "tea", "event_id": "e"}).body or b"", type=Event
    )

    assert first.event_id
    assert first.event_id != second.event_id
    assert named == Event("ann", "query", text="tea", event_id="e")


@pytest.mark.parametrize(
    ("names", "question", "beside"),
    [
        (asked.ListAsked, questions.ListQuestion, {"after"}),
        (asked.SessionAsked, questions.SessionQuestion, set()),
        (asked.WhatIfAsked, questions.WhatIfQuestion, set()),
        (asked.EventAsked, Event, {"user_id", "action", "item_id"}),
    ],
)
def test_what_may_be_given_by_name_is_what_may_be_asked(
    names: Any, question: type[msgspec.Struct], beside: set[str]
) -> None:
    assert set(get_type_hints(names)) | beside == set(question.__struct_fields__)


REQUEST = routes.items("", 20)


def test_an_answer_is_read_as_its_type_and_fields_that_are_new_are_passed_over() -> None:
    assert read(REQUEST, 200, b'{"items":[],"total":3,"since_1_1":true}') == ItemsAnswer((), 3)


def test_a_problem_is_raised_with_everything_it_says() -> None:
    problem = Problem("Bad request", 400, "n is at most 200. Fix: n=200", field="n")

    with pytest.raises(PenchantHTTPError) as caught:
        read(REQUEST, 400, msgspec.json.encode(problem))

    assert caught.value.problem == problem
    assert caught.value.status == 400
    assert str(caught.value) == "GET /v1/items: 400 Bad request (n). n is at most 200. Fix: n=200"


def test_what_a_proxy_says_instead_is_quoted_in_short() -> None:
    with pytest.raises(PenchantHTTPError) as caught:
        read(REQUEST, 502, b"<html>\n<h1>Bad gateway</h1>" + b"x" * 1000)

    assert caught.value.status == 502
    assert caught.value.problem.detail.startswith("<html> <h1>Bad gateway</h1>xx")
    assert len(caught.value.problem.detail) == 200


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items":3}', b"\xff"])
def test_an_answer_of_something_else_is_an_error_that_says_so(body: bytes) -> None:
    with pytest.raises(PenchantHTTPError, match="Is this penchant serve"):
        read(REQUEST, 200, body)


def test_a_status_that_is_expected_has_an_answer() -> None:
    assert read(routes.ready(), 503, b'{"ready":false,"why_not":"it reads"}').why_not == "it reads"


@pytest.mark.parametrize("line", ["", ": a comment", "event: now", "id: 3"])
def test_lines_of_a_stream_that_are_no_data_say_nothing(line: str) -> None:
    assert read_line(line) is None


def test_the_answer_that_the_docs_of_lists_show_is_read() -> None:
    body = b"""{"recommendation_id":"8f","user_id":"ann","placement":"home","known":true,"fresh":true,"how":"published",
      "source":{"topic":"interest.events","partition":0,"offset":7},"age_ms":12,"generated_at":1,"event_time":1,
      "model":{"encoder":null,"sequence":null,"ranker":"r"},"items":[{"item_id":"tray","title":"Oak tray","rank":1,
      "score":1.0,"probability":0.1,"strategy":"interest","propensity":1.0,"parts":{"interest":1.0}}]}"""
    answer = read(routes.recommendations("ann", None, {}), 200, body)
    assert isinstance(answer, ListAnswer)
    assert [place.title for place in answer.items] == ["Oak tray"]

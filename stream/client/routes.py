"""Every route of `penchant serve` as the request that asks it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from models.vocabulary import Action
from stream.client.request import Request, body_of, path_of, query_of, question_of
from stream.serve import answers, questions
from stream.wire.records import Event, encode_sparse
from stream.wire.requests import RequestKind


def recommendations(
    user_id: str, after: answers.SentEvent | str | None, asked: Mapping[str, Any]
) -> Request[answers.ListAnswer]:
    """Raises ValueError where both `after` and `min_offset` are given."""
    question = question_of(questions.ListQuestion, asked)
    if after is not None and question.min_offset is not None:
        raise ValueError("after and min_offset both say what the list has to reflect. Fix: give one of them")
    if isinstance(after, answers.SentEvent):
        question = msgspec.structs.replace(question, min_offset=after.offset)
    elif after is not None:
        question = msgspec.structs.replace(question, after=after)
    waits = after is not None or question.min_offset is not None
    return Request(
        "GET",
        path_of("v1", "users", user_id, "recommendations"),
        answers.ListAnswer,
        query_of(question),
        wait_s=question.wait_ms / 1000 if waits else 0.0,
    )


def session_recommendations(asked: Mapping[str, Any]) -> Request[answers.ListAnswer]:
    body = body_of(question_of(questions.SessionQuestion, asked))
    return Request("POST", path_of("v1", "sessions", "recommendations"), answers.ListAnswer, body=body)


def why(user_id: str, rank: int, placement: str, item: str | None) -> Request[answers.WhyAnswer]:
    path = path_of("v1", "users", user_id, "recommendations", rank, "why")
    return Request("GET", path, answers.WhyAnswer, query_of(questions.WhyQuestion(placement=placement, item=item)))


def what_if(user_id: str, asked: Mapping[str, Any]) -> Request[answers.WhatIfAnswer]:
    body = body_of(question_of(questions.WhatIfQuestion, asked))
    return Request("POST", path_of("v1", "users", user_id, "what-if"), answers.WhatIfAnswer, body=body)


def person(user_id: str) -> Request[answers.PersonAnswer]:
    return Request("GET", path_of("v1", "users", user_id), answers.PersonAnswer)


def erase(user_id: str) -> Request[answers.SentRequest]:
    return Request("DELETE", path_of("v1", "users", user_id), answers.SentRequest)


def ask(user_id: str, request: RequestKind, item_id: str | None, requester: str) -> Request[answers.SentRequest]:
    body = body_of(questions.RequestQuestion(request, item_id, requester))
    return Request("POST", path_of("v1", "users", user_id, "requests"), answers.SentRequest, body=body)


def people(n: int) -> Request[answers.PeopleAnswer]:
    return Request("GET", path_of("v1", "users"), answers.PeopleAnswer, query_of(questions.PeopleQuestion(n=n)))


def items(q: str, n: int) -> Request[answers.ItemsAnswer]:
    return Request("GET", path_of("v1", "items"), answers.ItemsAnswer, query_of(questions.SearchQuestion(q=q, n=n)))


def item(item_id: str) -> Request[answers.ItemAnswer]:
    return Request("GET", path_of("v1", "items", item_id), answers.ItemAnswer)


def related(item_id: str, n: int, by: str) -> Request[answers.ItemsAnswer]:
    query = query_of(questions.RelatedQuestion(n=n, by=by))
    return Request("GET", path_of("v1", "items", item_id, "related"), answers.ItemsAnswer, query)


def trending(category: Sequence[str], n: int) -> Request[answers.ItemsAnswer]:
    query = query_of(question_of(questions.TrendingQuestion, {"category": category, "n": n}))
    return Request("GET", path_of("v1", "trending"), answers.ItemsAnswer, query)


def send(user_id: str, action: Action, item_id: str | None, asked: Mapping[str, Any]) -> Request[answers.SentEvent]:
    """With an `event_id`, made here if none is given: by it a repeat of the request is not a second event."""
    event = question_of(Event, {"event_id": uuid4().hex, **asked, "user_id": user_id, "action": action})
    event = msgspec.structs.replace(event, item_id=item_id)
    return Request("POST", path_of("v1", "events"), answers.SentEvent, body=encode_sparse(event))


def now() -> Request[answers.NowAnswer]:
    return Request("GET", path_of("v1", "now"), answers.NowAnswer)


def now_stream() -> Request[answers.NowAnswer]:
    """Of server-sent events: `read_line` reads one line of them."""
    return Request("GET", path_of("v1", "now", "stream"), answers.NowAnswer)


def rules() -> Request[answers.RulesAnswer]:
    return Request("GET", path_of("v1", "rules"), answers.RulesAnswer)


def try_rule(key: str, rule: Mapping[str, Any], people: Sequence[str]) -> Request[answers.TryAnswer]:
    asked = {"key": key, "rule": msgspec.Raw(msgspec.json.encode(rule)), "people": people}
    body = body_of(question_of(questions.TryQuestion, asked))
    return Request("POST", path_of("v1", "rules", "try"), answers.TryAnswer, body=body)


def publish_rule(key: str, rule: Mapping[str, Any] | None) -> Request[answers.Published]:
    asked = {"key": key, "rule": msgspec.Raw(msgspec.json.encode(rule))}
    body = body_of(question_of(questions.PublishQuestion, asked))
    return Request("PUT", path_of("v1", "rules"), answers.Published, body=body)


def link(user_id: str) -> Request[answers.LinkAnswer]:
    return Request("POST", path_of("v1", "users", user_id, "link"), answers.LinkAnswer)


def you(token: str) -> Request[answers.YouAnswer]:
    return Request("GET", path_of("v1", "you", token), answers.YouAnswer)


def less(token: str, items: Sequence[str]) -> Request[answers.SentEvent]:
    body = body_of(question_of(questions.LessQuestion, {"items": items}))
    return Request("POST", path_of("v1", "you", token, "less"), answers.SentEvent, body=body)


def erase_me(token: str) -> Request[answers.SentRequest]:
    return Request("POST", path_of("v1", "you", token, "erase"), answers.SentRequest)


def live() -> Request[answers.Live]:
    return Request("GET", path_of("health", "live"), answers.Live)


def ready() -> Request[answers.Ready]:
    return Request("GET", path_of("health", "ready"), answers.Ready, answered_by=(503,))

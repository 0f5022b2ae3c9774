"""Every route, once: its method, path, what it takes and gives. Handlers are found and the OpenAPI document is made by it."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from stream.serve import answers as a
from stream.serve import questions as q
from stream.wire.records import Event


class Route(NamedTuple):
    """One operation."""

    name: str
    method: str
    path: str
    summary: str
    gives: type[msgspec.Struct]
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    is_admin: bool = False
    others: tuple[int, ...] = ()
    """Statuses that it may answer beside 400, 401, 429 and 503."""
    takes_lists: bool = True
    """Answered only once the topics have been read."""


ROUTES: Final = (
    Route("list", "GET", "/v1/users/{user_id}/recommendations", "A person's list", a.ListAnswer, q.ListQuestion, others=(404,)),
    Route(
        "why", "GET", "/v1/users/{user_id}/recommendations/{rank}/why", "One place of a person's list, taken apart",
        a.WhyAnswer, q.WhyQuestion, others=(404,),
    ),
    Route(
        "what_if", "POST", "/v1/users/{user_id}/what-if", "A person's list as it would be", a.WhatIfAnswer,
        body=q.WhatIfQuestion, others=(404, 413),
    ),
    Route("person", "GET", "/v1/users/{user_id}", "What is known of a person", a.PersonAnswer),
    Route(
        "erase", "DELETE", "/v1/users/{user_id}", "Erase a person, as if they had never been there", a.SentRequest, status=202,
        is_admin=True, takes_lists=False,
    ),
    Route(
        "ask", "POST", "/v1/users/{user_id}/requests", "What a person asks for: erase, restrict, object, release, rectify",
        a.SentRequest, body=q.RequestQuestion, status=202, is_admin=True, others=(413,), takes_lists=False,
    ),
    Route("people", "GET", "/v1/users", "Who was active lately", a.PeopleAnswer, q.PeopleQuestion),
    Route(
        "link", "POST", "/v1/users/{user_id}/link", "A signed link of a person's own page", a.LinkAnswer, is_admin=True,
    ),
    Route(
        "session", "POST", "/v1/sessions/recommendations", "The list of a visitor without an id", a.ListAnswer,
        body=q.SessionQuestion, others=(404, 413),
    ),
    Route("items", "GET", "/v1/items", "Items by words of their title, or by id", a.ItemsAnswer, q.SearchQuestion),
    Route("item", "GET", "/v1/items/{item_id}", "What is known of an item, and who gets it", a.ItemAnswer, others=(404,)),
    Route(
        "related", "GET", "/v1/items/{item_id}/related", "What is near to an item", a.ItemsAnswer, q.RelatedQuestion,
        others=(404,),
    ),
    Route("trending", "GET", "/v1/trending", "What leads now", a.ItemsAnswer, q.TrendingQuestion),
    Route(
        "send", "POST", "/v1/events", "Send an event to the topic", a.SentEvent, body=Event, status=201, others=(413,),
        takes_lists=False,
    ),
    Route("now", "GET", "/v1/now", "How Penchant does now", a.NowAnswer, takes_lists=False),
    Route("rules", "GET", "/v1/rules", "The rules that count", a.RulesAnswer),
    Route(
        "try_rule", "POST", "/v1/rules/try", "A draft of a rule, tried on people", a.TryAnswer, body=q.TryQuestion,
        is_admin=True, others=(413,),
    ),
    Route(
        "publish_rule", "PUT", "/v1/rules", "Publish or withdraw a rule", a.Published, body=q.PublishQuestion,
        is_admin=True, others=(413,),
    ),
    Route("you", "GET", "/v1/you/{token}", "What is shown to a person themselves", a.YouAnswer, others=(410,)),
    Route(
        "less", "POST", "/v1/you/{token}/less", "The person wants less of some items", a.SentEvent, body=q.LessQuestion,
        status=201, others=(404, 410, 413),
    ),
    Route(
        "erase_me", "POST", "/v1/you/{token}/erase", "The person wants to be forgotten", a.SentRequest, status=202,
        others=(410,), takes_lists=False,
    ),
    Route("live", "GET", "/health/live", "The process runs", a.Live, takes_lists=False),
    Route("ready", "GET", "/health/ready", "It answers as it should", a.Ready, takes_lists=False),
)  # fmt: skip

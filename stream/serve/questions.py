"""What may be asked, as types: each field with its bounds. An unknown field is an error, so that a misspelt one is told."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from models.vocabulary import Action
from stream.wire.records import Id, NonNegativeInt, Source, Time
from stream.wire.requests import RequestKind

N_MAX = 200
EXCLUDED_MAX = 500
EVENTS_MAX = 200
NAMED_MAX = 64

Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=EXCLUDED_MAX)]
Categories = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=20)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Placement = Annotated[str, Meta(min_length=1, max_length=64)]
ContextText = Annotated[str, Meta(max_length=100)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which list is wanted."""

    placement: Placement = "home"
    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 20
    """Items at most."""
    exclude: Ids = ()
    """Items that may not be in it; in a query `exclude=a&exclude=b`."""
    category: Categories = ()
    """Only items of one of these."""
    price_min: Amount | None = None
    price_max: Amount | None = None
    """Items without a price are left out where either is given."""
    explain: bool = False
    """With the reasons."""


class ListQuestion(Wanted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`GET /v1/users/{user_id}/recommendations`, in the query."""

    min_offset: Offset | None = None
    """The list has to reflect the event at this offset, as `POST /v1/events` or the producer's acknowledgement said."""
    after: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The same of the event with this `event_id`."""
    wait_ms: Annotated[int, Meta(ge=0, le=10_000)] = 500
    """How long to wait for it at most; then `fresh` is false."""
    device: ContextText | None = msgspec.field(name="context.device", default=None)
    place: ContextText | None = msgspec.field(name="context.place", default=None)
    scene: ContextText | None = msgspec.field(name="context.scene", default=None)


class SessionEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One behaviour of a visitor without an id: an event without `user_id`."""

    action: Action
    item_id: Id | None = None
    event_time: Time | None = None
    """Missing: now."""
    dwell_ms: NonNegativeInt | None = None
    value: float | None = None
    text: Annotated[str, Meta(max_length=4096)] | None = None
    source: Source = "behaviour"
    context: dict[str, str] | None = None
    recommendation_id: Annotated[str, Meta(max_length=256)] | None = None
    slot: int | None = None
    event_id: Annotated[str, Meta(max_length=256)] | None = None


class SessionQuestion(Wanted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/sessions/recommendations`: nothing of it is kept."""

    events: Annotated[tuple[SessionEvent, ...], Meta(max_length=EVENTS_MAX)] = ()
    """In the order in which they happened."""


class WhatIfQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/users/{user_id}/what-if`: nothing of it is kept."""

    without: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=NAMED_MAX)] = ()
    """Behaviours by their `key`, or all about an item by its id."""
    with_: Annotated[tuple[Id, ...], Meta(max_length=NAMED_MAX)] = msgspec.field(name="with", default=())
    """A click on each of these, after everything else."""
    weights: dict[str, Annotated[float, Meta(ge=0, le=10)]] = {}
    """By part: how many times as much it counts; 1 as it is."""
    at: Annotated[int, Meta(ge=0, le=253402300799999)] | None = None
    """The moment, event time in ms: in the past only what had happened by then counts; in the future nothing more happens."""
    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 20
    placement: Placement = "home"


class WhyQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`GET /v1/users/{user_id}/recommendations/{rank}/why`, in the query."""

    placement: Placement = "home"
    item: Id | None = None
    """The item that is asked about: the list is ranked again, and by now it may stand elsewhere."""


class SearchQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`GET /v1/items`, in the query."""

    q: Annotated[str, Meta(max_length=200)] = ""
    """Words of the title, or an id; empty: the most chosen ones."""
    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 20


class RelatedQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`GET /v1/items/{item_id}/related`, in the query."""

    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 20
    by: Annotated[str, Meta(pattern="^(chosen|next|text)$")] = "chosen"
    """`chosen` by the same people, chosen `next`, or alike by `text`."""


class TrendingQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`GET /v1/trending`, in the query."""

    category: Categories = ()
    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 20


class PeopleQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`GET /v1/users`, in the query."""

    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 10


class TryQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/rules/try`: a draft, as in a file of `penchant rules`; nothing is published."""

    key: Annotated[str, Meta(min_length=1, max_length=128)]
    """The rule's id."""
    rule: msgspec.Raw
    """The rule as JSON, as on the topic."""
    people: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    """Whose lists; none: ten who were active lately."""


class PublishQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`PUT /v1/rules`: publish a rule; null withdraws it."""

    key: Annotated[str, Meta(min_length=1, max_length=128)]
    rule: msgspec.Raw
    """As JSON, on the topic; `null` withdraws it. (Not `Raw | None`: msgspec would take null only.)"""


class RequestQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/users/{user_id}/requests`: what a person asks for."""

    request: RequestKind
    item_id: Id | None = None
    """With `rectify`, and only then."""
    requester: Annotated[str, Meta(max_length=128)] = ""
    """Who asks, for the receipt; no name of the person."""


class LessQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/you/{token}/less`: the person wants less of these items."""

    items: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=NAMED_MAX)]

"""What is answered, as types: the OpenAPI document is made from them, and the client reads them.

Times are milliseconds since the epoch, `_ms` where they are durations. Within `/v1` fields are added, never renamed or removed.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from models.vocabulary import Action, Strategy
from stream.wire.records import EventSource, ModelVersions, Row

How = Literal["published", "ranked"]
Count = Annotated[int, Meta(ge=0)]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not answered (RFC 9457, `application/problem+json`)."""

    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    """What is wrong and what to do about it."""
    type: str = "about:blank"
    field: str | None = None
    """The parameter, or the path into the body, that is wrong."""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What one behaviour added to the score of a place."""

    item_id: str
    """An item, or the text of a query."""
    title: str
    action: Action
    event_time: int
    contribution: float


class ListedItem(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One place of a list."""

    item_id: str
    title: str
    rank: int
    """In this answer, from 1."""
    score: float
    """The sum of `parts`."""
    probability: float
    strategy: Strategy
    propensity: float
    """Probability that this item stands at the place that it had in the list before the request filtered it."""
    parts: dict[str, float]
    price: float | None = None
    categories: tuple[str, ...] = ()
    moved_by: str | None = None
    promoted: bool = False
    slot: int = 0
    """Its place in the published list where the request left others out; 0: the same as `rank`."""
    reason: dict[str, str] | None = None
    """The sentence, by language; with `explain`."""
    causes: tuple[Cause, ...] | None = None
    """The strongest first; with `explain`."""
    others: float | None = None
    """What behaviours too weak to be listed added; with `explain`."""


class Counterfactual(msgspec.Struct, frozen=True, gc=False):
    """Had the person not met these items, another would lead."""

    removed: tuple[str, ...]
    replacement: str | None
    exact: bool
    """Every smaller set was tried."""


class ListAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A list."""

    recommendation_id: str
    """To be sent back with the events about its items."""
    user_id: str | None
    """Null: a visitor without an id."""
    placement: str
    known: bool
    """False: nothing is known of this person; the list is that of a newcomer."""
    fresh: bool
    """False: it does not reflect the event that was named by `min_offset` or `after`."""
    how: How
    """`published`: read from the topic; `ranked`: made for this request."""
    source: EventSource | None
    """The newest event that it reflects; null: none."""
    age_ms: int
    """Since it was made."""
    generated_at: int
    event_time: int
    """Of the newest event that it reflects; 0: none."""
    model: ModelVersions
    items: tuple[ListedItem, ...]
    gates: tuple[str, ...] = ()
    """Which conditions choose the person's weights (`idle_30_min`, ...); of lists that were ranked, with `explain`."""
    relaxed: tuple[str, ...] = ()
    experiments: dict[str, str] = {}
    rows: tuple[Row, ...] = ()
    left_out: int = 0
    """Places of the published list that the request excluded or filtered."""
    stale: bool = False
    """The topics cannot be followed at the moment: this is what was known `age_ms` ago."""
    counterfactual: Counterfactual | None = None


class Move(msgspec.Struct, frozen=True, gc=False):
    """How an item's place differs between the list as it is and the list as if."""

    item_id: str
    title: str
    before: int | None
    """Null: was not listed."""
    after: int | None
    """Null: is not listed any more."""


class Point(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One interest by text: a group of similar items, named by the one that stands for it."""

    item_id: str
    title: str
    weight: float
    """Negative where dislikes prevail."""
    members: tuple[str, ...]
    """Ids of the person's items in it, or texts of queries."""
    since: int
    """Event time of the oldest of these behaviours."""
    column: int
    row: int
    """Cell of a grid of 3 columns and 4 rows: the same for a point as long as it exists."""


class Edge(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Two points that read alike: `[from, to, cosine]`, places in `points`."""

    a: int
    b: int
    cosine: float


class InterestPicture(msgspec.Struct, frozen=True):
    """Interests by text; without an encoder there are none."""

    points: tuple[Point, ...]
    edges: tuple[Edge, ...]


class WhatIfAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A list as it would be, and what differs from the list as it is now."""

    list: ListAnswer
    before: ListAnswer
    """The list as it is, ranked at the same moment."""
    moved: tuple[Move, ...]
    """Only what differs, by its place now, then by its place before."""
    interests: InterestPicture
    """As if."""
    at: int
    """The moment it was ranked at, event time."""
    took_ms: float
    unknown: tuple[str, ...] = ()
    """Behaviours of `without` that are no longer remembered one by one, so they cannot be struck out."""


class WhyAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place of a list taken apart."""

    list: ListAnswer
    """With this one item only."""
    item: ListedItem
    features: dict[str, float]
    """What each feature adds to the score: weight times value; they sum to the parts."""
    counterfactual: Counterfactual | None = None


class Behaviour(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One behaviour that is remembered."""

    key: str
    """Names it in `without`."""
    action: Action
    item_id: str
    """An item, or the text of a query; `hash:...` where its name is not known here."""
    title: str
    event_time: int
    in_catalogue: bool
    context: int = 0
    """Bucket 0 (none) to 7."""
    dwell_ms: int = 0
    first: bool = False
    """The first time they engaged with it."""


class OlderInterest(msgspec.Struct, frozen=True, gc=False):
    """An item of behaviours that are older than those remembered one by one."""

    item_id: str
    title: str
    weight: float
    """Decayed with a half-life of 30 days."""
    count: int
    last_time: int


class Earned(msgspec.Struct, frozen=True, gc=False):
    """What a list that this person got has earned."""

    item_id: str
    title: str
    action: Action
    event_time: int
    recommendation_id: str
    rank: int
    strategy: Strategy
    credit: float


class PersonAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a person."""

    user_id: str
    known: bool
    events: int
    """All that were ever accepted."""
    first_seen: int
    last_seen: int
    partition: int
    offset: int
    """Of the newest event that was applied; -1: none."""
    behaviours: tuple[Behaviour, ...]
    """The newest 64 at most, oldest first."""
    interests: InterestPicture
    older: tuple[OlderInterest, ...]
    hours: tuple[float, ...]
    """Older behaviours by the quarter of the day (UTC), 4 shares; empty where there are none."""
    weekdays: tuple[float, ...]
    """Likewise by the day of the week, Monday first."""
    impressions: int
    """Of the newest 32 at most."""
    earned: tuple[Earned, ...] = ()
    """The newest first, as far as this process has followed them."""


class PersonFound(msgspec.Struct, frozen=True, gc=False):
    """Somebody who was active lately."""

    user_id: str
    last_seen: int
    listed: bool


class PeopleAnswer(msgspec.Struct, frozen=True):
    """Who was active lately, the latest first."""

    people: tuple[PersonFound, ...]


class ItemFound(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An item, briefly."""

    item_id: str
    title: str
    score: float = 0.0
    """What it was found by: cosine for `related`, the decayed sum for `trending`; 0 for a search."""
    price: float | None = None
    categories: tuple[str, ...] = ()
    available: bool = True


class ItemsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Items."""

    items: tuple[ItemFound, ...]
    total: int = 0
    """Of a search: how many there are."""


class Gate(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One condition that an item has to pass before anybody sees it."""

    name: Literal["catalogue", "available", "rules", "statistics", "text", "listed"]
    open: bool
    detail: str = ""
    """Numbers and names, in English; pages say the rest in their own words."""


class Follower(msgspec.Struct, frozen=True, gc=False):
    """Somebody in whose last list an item stands."""

    user_id: str
    rank: int
    score: float


class ItemAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of an item."""

    item_id: str
    title: str
    in_catalogue: bool
    available: bool
    price: float | None
    categories: tuple[str, ...]
    description: str | None
    published_at: int | None
    attributes: dict[str, str]
    engagements: float
    """First engagements of people, all of them."""
    people_first_time: int
    """Event time of the first one; 0: none."""
    recent: dict[str, float]
    """Engagements, fading a factor e in the time that each is named after: `hour_1` to `day_365`."""
    impressions: float
    clicks: float
    related: tuple[ItemFound, ...]
    """Chosen by the same people."""
    next: tuple[ItemFound, ...]
    """Chosen after it."""
    similar: tuple[ItemFound, ...]
    """Reads alike; without an encoder none."""
    lists: int
    """Of those followed here: how many hold it now."""
    lists_all: int
    places: tuple[int, ...]
    """How many of these lists hold it at place 1, 2, ...."""
    followers: tuple[Follower, ...]
    """Some people in whose list it stands, the best place first."""
    gates: tuple[Gate, ...]
    """In order: the first closed one is why nobody sees it."""


class SentEvent(msgspec.Struct, frozen=True, gc=False):
    """Where an event was written; every in-sync replica has it."""

    topic: str
    partition: int
    offset: int
    """To be given as `min_offset` with the next request of this person."""


class SentRequest(msgspec.Struct, frozen=True, gc=False):
    """Where a request of a person was written. The worker that reads it carries it out and gives a receipt, on the topic of
    attributions under the `request_id`."""

    request_id: str
    topic: str
    partition: int
    offset: int
    """To be given as `min_offset` with the next request of this person."""


class PartitionNow(msgspec.Struct, frozen=True, gc=False):
    """How one partition of the events stands."""

    partition: int
    lag: int
    """Events written and not yet reflected in a committed state."""
    slope: float
    """How fast the lag grows, events a second; negative: it shrinks."""
    offset: int
    """Newest committed one."""


class Window(msgspec.Struct, frozen=True, gc=False):
    """A duration over the last `seconds`: half of the cases are at most `p50_ms`."""

    seconds: float
    count: int
    p50_ms: float | None
    p99_ms: float | None


class NowAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How Penchant does now, as far as its topics tell."""

    at: int
    events_per_s: float
    lists_per_s: float
    freshness: Window
    """From the event's Kafka timestamp to that of the list that reflects it, of events since somebody has been watching."""
    lag: int
    partitions: tuple[PartitionNow, ...]
    last_commit_ms: int | None
    """Since the newest state arrived; null: none yet."""
    hits: int
    misses: int
    """Of items people engaged with for the first time since somebody has been watching: whether they stood in the first ten
    places of their list of before."""
    explored_places: int
    places: int
    """Of the lists that came since this process started, and of these those that exploration filled."""
    refused: dict[str, int]
    """Dead letters since somebody has been watching, by reason."""
    lists: int
    """People with a list."""
    items: int
    ready: bool
    why_not: str = ""
    stale: bool = False
    requests_per_s: float = 0.0
    request_p99_ms: float | None = None


class RuleShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule, or a live placement, as it counts now."""

    key: str
    kind: str
    description: str
    record: msgspec.Raw
    """As on the topic."""
    items: int | None = None
    """How many it means; null: not known."""
    active: bool = True
    moved: int = 0
    """Places in the lists followed here that it moved."""


class RulesAnswer(msgspec.Struct, frozen=True):
    """The rules that are followed."""

    rules: tuple[RuleShown, ...]
    ready: bool
    """False: of some it is not known yet which items they mean."""


class Tried(msgspec.Struct, frozen=True):
    """One person's list without and with a draft."""

    user_id: str
    before: ListAnswer
    after: ListAnswer
    moved: tuple[Move, ...]


class TryAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A draft tried on real people; nothing was published."""

    tried: tuple[Tried, ...]
    items: int | None
    warnings: tuple[str, ...] = ()
    expected_clicks_before: float = 0.0
    """Sum of the probabilities of the first ten places of all of them."""
    expected_clicks_after: float = 0.0


class Published(msgspec.Struct, frozen=True):
    """What was written to the topic of rules: every in-sync replica has it."""

    key: str


class Belief(msgspec.Struct, frozen=True, gc=False):
    """Something we take a person to like, in words."""

    item_id: str
    title: str
    strength: Literal["strong", "some", "little"]
    since: int
    why: dict[str, str]
    """A sentence, by language."""
    members: tuple[str, ...]
    """Ids of the items that it rests on."""


class YouAnswer(msgspec.Struct, frozen=True):
    """What is shown to the person themselves."""

    likes: tuple[Belief, ...]
    dislikes: tuple[Belief, ...]
    behaviours: int
    first_seen: int
    last_seen: int
    list: ListAnswer


class LinkAnswer(msgspec.Struct, frozen=True):
    """A signed link of a person's own page."""

    path: str
    expires_at: int
    """ms."""


class Live(msgspec.Struct, frozen=True):
    """The process runs."""

    live: Literal[True] = True


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether it answers as it should."""

    ready: bool
    why_not: str = ""

"""What may be given to the methods of a client, by name; `stream.serve.questions` has the bounds, and says what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from stream.serve.questions import SessionEvent
from stream.wire.records import Source


class WantedAsked(TypedDict, total=False):
    """Which list."""

    placement: str
    n: int
    exclude: Sequence[str]
    category: Sequence[str]
    price_min: float | None
    price_max: float | None
    explain: bool


class ListAsked(WantedAsked, total=False):
    """Of `recommendations`, beside `after`."""

    min_offset: int | None
    wait_ms: int
    device: str | None
    place: str | None
    scene: str | None


class SessionAsked(WantedAsked, total=False):
    """Of `session_recommendations`."""

    events: Sequence[SessionEvent]


class WhatIfAsked(TypedDict, total=False):
    """Of `what_if`; `with_` has an underscore, since `with` is a word of Python."""

    without: Sequence[str]
    with_: Sequence[str]
    weights: Mapping[str, float]
    at: int | None
    n: int
    placement: str


class EventAsked(TypedDict, total=False):
    """Of `send`, beside who did what with which item."""

    event_time: int | str | None
    dwell_ms: int | None
    value: float | None
    text: str | None
    source: Source
    context: dict[str, str] | None
    recommendation_id: str | None
    slot: int | None
    event_id: str | None

"""The wire: one type per record that Penchant reads or writes (see schemas/ for the JSON Schemas made from them).

Unknown fields are ignored on reading, never an error. Every record written carries `schema_version`. Ids are UTF-8 of 1 to
128 bytes. A time on the wire is an integer of milliseconds since the epoch or an RFC 3339 string with an offset; inside
Penchant it is always integer milliseconds, `_ms`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from models.vocabulary import Action, Evidence, Rule, Strategy
from stream.wire.reasons import Reasons, RecommendationAttribution, check_indices

SCHEMA_VERSION = 1
MAX_ID_BYTES = 128

Source = Literal["behaviour", "social", "query", "media"]
Trigger = Literal["event", "refresh", "catalog", "model"]

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES, description="UTF-8, 1 to 128 bytes")]
Time = Annotated[
    int | str, Meta(description="milliseconds since the epoch, or an RFC 3339 string with an offset (…Z or …+02:00)")
]
NonNegativeInt = Annotated[int, Meta(ge=0)]


# --- read ---


class Event(msgspec.Struct, frozen=True, gc=False):
    """One behaviour of one user, as producers write it to `interest.events` (key = user_id)."""

    user_id: Id
    action: Action
    item_id: Id | None = None
    """Required unless `action` is `query`."""
    event_time: Time | None = None
    """Missing: the Kafka record's timestamp."""
    dwell_ms: NonNegativeInt | None = None
    """Watch or reading time; its gain saturates."""
    value: float | None = None
    """Rating, quantity or price of the outcome. A `purchase` with a negative value is a `refund`."""
    text: str | None = None
    """`query`: what was searched; else a note such as a comment."""
    source: Source = "behaviour"
    context: dict[str, str] | None = None
    """`device`, `place`, `scene`."""
    recommendation_id: str | None = None
    """Which recommendation showed the item."""
    slot: int | None = None
    """Where it was shown: the place from 1."""
    event_id: str | None = None
    """A repeat among the remembered events of the user is dropped and counted."""


class Item(msgspec.Struct, frozen=True):
    """One catalogue item, as written to `interest.items` (key = item_id, compacted, null value = removed)."""

    item_id: Id
    title: Annotated[str, Meta(min_length=1)]
    categories: tuple[str, ...] = ()
    description: str | None = None
    language: str | None = None
    media_text: str | None = None
    published_at: Time | None = None
    """Or a year, a date, seconds, micro- or nanoseconds: see `stream.wire.times.published_ms`."""
    available: bool = True
    """False: never recommended."""
    price: float | None = None
    attributes: dict[str, str] | None = None


# --- written ---
#
# gc=False: none of these can be part of a cycle, and a list's hundreds of records would have the collector run all the time.


class EventSource(msgspec.Struct, frozen=True, gc=False):
    """Where the newest event reflected in a recommendation lies."""

    topic: str
    partition: int
    offset: int


class ModelVersions(msgspec.Struct, frozen=True, gc=False):
    """Versions of what produced a recommendation; null where that part is not in use."""

    encoder: str | None
    sequence: str | None
    ranker: str
    newcomers: str = "popularity"
    """Which count makes the lists of people without history (strategy `cold_start`): the one that newcomers take most from;
    `sequence`: the sequence model."""
    newcomers_for: str | UnsetType = UNSET
    """What of the moment that list is made for: `hour`, `weekday`, `scene` (device, place, scene); left out for none."""
    few_items_added: float | UnsetType = UNSET
    """Weight with which the count `newcomers` is added to the scores of people with fewer than 5 items; left out for none."""


class RecommendedItem(msgspec.Struct, frozen=True, gc=False):
    """One place of a list. The values of `parts` sum to `score`."""

    item_id: str
    rank: int
    """From 1."""
    score: float
    probability: float
    """Calibrated probability of a click; see deploy/docs/clicks.md for what it is calibrated on."""
    strategy: Strategy
    propensity: float
    """Probability that this item stands at this place, given what was known; 1 where nothing was drawn."""
    parts: dict[str, float]
    moved_by: str | UnsetType = UNSET
    """Why it stands here and not where its score alone would put it: `diversity`, `fatigue`, `explore`, `rule:ID`; left out
    where nothing moved it."""
    promoted: bool | UnsetType = UNSET
    """True where a promotion put it here, which has to be shown to the person; else left out."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A part of a list under a title that is true of each of its items."""

    title: dict[str, str]
    """By language, those of the setting `explanation_languages`."""
    items: tuple[str, ...]
    """Ids, in the order of the list."""
    because: str | UnsetType = UNSET
    """The item, or the text of the query, that the title names; left out where it names none."""


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """One list for one user, on `interest.recommendations` (key = user_id, compacted, null = erased)."""

    recommendation_id: str
    """Derived from user, last applied offset and model: the same input gives the same id."""
    user_id: str
    generated_at: int
    event_time: int
    """Of the newest event reflected, ms."""
    source: EventSource
    trigger: Trigger
    model: ModelVersions
    items: tuple[RecommendedItem, ...]
    explained: bool = True
    """Whether a record of reasons follows on `interest.attributions`; see the setting `explained_users`."""
    schema_version: int = SCHEMA_VERSION
    placement: str | UnsetType = UNSET
    """Where the list is shown; left out where no placement is configured."""
    relaxed: tuple[str, ...] | UnsetType = UNSET
    """Rules (`rule:ID`) that were left out because with them there would have been too few items; else left out."""
    experiments: dict[str, str] | UnsetType = UNSET
    """The arm that made the list, by the experiment's name; `holdout` of who is in none of its arms. Left out of people who are
    in no experiment."""
    rows: tuple[Row, ...] | UnsetType = UNSET
    """The same items parted into rows with titles, the row with the most expected clicks first; left out where the placement
    has no `rows`, or the list no reasons."""


class Credit(msgspec.Struct, frozen=True, gc=False):
    """One recommendation on the way to one outcome, and the share of it that it earned; 0 where the rule gave it none."""

    recommendation_id: str
    """Of Penchant's own, or, if the producer's is not 32 hex digits, 32 hex digits of its BLAKE2b."""
    rank: int
    """Place in the list from 1; 0 where it is not known."""
    strategy: Strategy
    shown_at: int
    """First known: by an impression, by an event that named it, else when the list was published, ms of event time."""
    credit: float
    propensity: float = 1.0


class OutcomeAttribution(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="outcome"):
    """Which recommendations earned one outcome, on `interest.attributions`.

    The credits and `unattributed` sum to 1; for a `refund` they are those of the purchase taken back, negative, and sum to -1.
    """

    outcome_id: str
    """Derived from where the event lies: the same event gives the same id."""
    user_id: str
    item_id: str
    action: Action
    event_time: int
    value: float | None
    """As the event says; of a `refund` never positive."""
    credits: tuple[Credit, ...]
    """In the order of the touches, at most 8: the first and the latest ones."""
    rule: Rule
    unattributed: float
    evidence: Evidence = "none"
    context: int = 0
    """Context bucket of the event, 0 (none) to 7."""
    reverses: str | None = None
    """`refund`: the outcome that is taken back; null if none is remembered."""
    schema_version: int = SCHEMA_VERSION


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """A click rate with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


class StrategyStats(msgspec.Struct, frozen=True, gc=False):
    """What one strategy earned in one slot and context, on `interest.strategy-stats` (compacted).

    Key `STRATEGY/SLOT/CONTEXT/PARTITION`: totals since the beginning, over the users of one partition of the events. The sums
    of a cell's partitions add up; estimates of the whole are made from the added sums, see `models.credit.off_policy`.
    """

    strategy: Strategy
    slot: int
    """Rank in the list from 1; 0 where it is not known."""
    context: int
    """Context bucket of the exposure, 0 (none) to 7."""
    partition: int
    exposures: int
    """Items of recommendations that were seen: impressions, and events that named a recommendation unseen before."""
    clicks: int
    """Exposures that were clicked, each once."""
    carts: float
    """Credits of `cart` outcomes, also by published lists; likewise below."""
    purchases: float
    """Credits of purchases, less those of refunds."""
    value: float
    """Credited value of purchases, less that of refunds."""
    inverse_propensity: float
    """Sum over exposures of 1 / propensity."""
    inverse_propensity_squared: float
    clicks_inverse_propensity: float
    """Sum over clicked exposures of 1 / propensity."""
    clicks_inverse_propensity_squared: float
    ips: Estimate | None = None
    """Off-policy estimates of the click rate in this slot and context if this strategy always filled it; null without
    exposures. Inverse propensity scoring, self-normalised, doubly robust."""
    snips: Estimate | None = None
    doubly_robust: Estimate | None = None
    updated_at: int = 0
    """Event time of the newest event that changed it, ms."""
    schema_version: int = SCHEMA_VERSION


class ExpertStats(msgspec.Struct, frozen=True, gc=False):
    """Fading sums over judgements of how much better one list was than the usual one."""

    better: float
    """Of the differences in NDCG@10."""
    better_squared: float


class FollowerStats(msgspec.Struct, frozen=True, gc=False):
    """What judgements said of the ways that a list can be made or used otherwise."""

    of: str
    """Name of the list, the one that newcomers got then."""
    judgements: float
    """Fading count."""
    judgements_squared: float
    """Of the squares of what each counts."""
    ways: dict[str, ExpertStats]
    """By name."""


class NewcomerStats(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="newcomers"):
    """What the first choices of newcomers said of the impersonal lists that they could have had, on `interest.strategy-stats`.

    Key `newcomers/PARTITION`: over the users of one partition of the events, each counting a factor e less after 300 more. The
    sums of partitions add up; see `models.ranking.newcomers`.
    """

    partition: int
    newcomers: float
    """Fading count."""
    newcomers_squared: float
    """Of the squares of what each counts."""
    experts: dict[str, ExpertStats]
    """By the name of the count that makes the list; `sequence`: the sequence model. Over that by all-time counts."""
    updated_at: int = 0
    """Event time of the newest of these choices, ms."""
    schema_version: int = SCHEMA_VERSION
    contexts: FollowerStats | UnsetType = UNSET
    """Of the list that newcomers get made for the `hour`, the `weekday` or the `scene`, over the same list made for none."""
    few_items: FollowerStats | UnsetType = UNSET
    """What people with fewer than 5 items said of their list with that of newcomers added, by its weight, over none added."""


Attribution = Reasons | OutcomeAttribution | RecommendationAttribution


# --- codecs (thread-safe, made once) ---

event_decoder = msgspec.json.Decoder(Event)
item_decoder = msgspec.json.Decoder(Item)
recommendation_decoder = msgspec.json.Decoder(Recommendation)
attribution_decoder = msgspec.json.Decoder(Attribution)
reasons_decoder = msgspec.json.Decoder(Reasons)
strategy_stats_decoder = msgspec.json.Decoder(StrategyStats)
newcomer_stats_decoder = msgspec.json.Decoder(NewcomerStats)


def read_attribution(value: bytes | None) -> Attribution:
    """A record of `interest.attributions`, of any version that was ever written.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is of another kind or version, or breaks its own rules: pass it over.
    """
    record: Attribution = attribution_decoder.decode(value or b"")
    if isinstance(record, Reasons):
        check_indices(record)
    return record


def encode(record: msgspec.Struct) -> bytes:
    """UTF-8 JSON of a wire record."""
    return msgspec.json.encode(record)


def encode_sparse(record: msgspec.Struct) -> bytes:
    """UTF-8 JSON without the null fields: how a producer would have written an event or an item."""
    return msgspec.json.encode({k: v for k, v in msgspec.to_builtins(record).items() if v is not None})

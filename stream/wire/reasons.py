"""Why the items of a list stand in it: one record a list on `interest.attributions`, and the records of before it.

All numbers of a record of reasons are whole millionths, so in decimal, exactly: a score is the sum of its parts, and what the
parts `co_occurrence` and `interest` add up to is the sum of the causes and `others`. Read as decimals, not as binary floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from models.vocabulary import Action, Strategy

REASONS_VERSION: Final = 2

OF_PLACEMENTS: Final = ("rules", "fatigue")
"""Names of parts that a placement adds to what the ranking says."""

Index = Annotated[int, Meta(ge=0)]


class CitedBehaviour(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A behaviour that a list's reasons cite: `[item_id, action, event_time]`."""

    item_id: str
    """An item, or the text of a query; `hash:...` where the worker did not know the name."""
    action: Action
    event_time: int
    """ms"""


class PlaceCause(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a behaviour added to the score of a place: `[behaviour, contribution]`."""

    behaviour: Index
    """Place in `behaviours`, from 0."""
    contribution: float


class PlaceReason(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Why an item has its place."""

    item_id: str
    score: float
    """The sum of `parts`; the score of the recommendation to within a few millionths."""
    parts: tuple[float, ...]
    """In the order of `part_names`."""
    causes: tuple[PlaceCause, ...]
    """The strongest first."""
    others: float
    """Of behaviours that are too weak to be listed (see the setting `contributions_max`), and what rounding left over."""
    reason: Index
    """Place in `reasons`, from 0."""
    strategy: Strategy = "interest"
    """As in the recommendation; left out where it is `interest`."""
    propensity: float = 1.0
    """As in the recommendation, to six places; left out where it is 1."""
    moved_by: str | None = None
    """As in the recommendation; left out where it is null."""
    promoted: bool = False
    """As in the recommendation; left out where it is false."""


class WithoutItems(msgspec.Struct, frozen=True, gc=False):
    """What would change a list: had the person not met these items, another would lead it. Checked by ranking again."""

    removed: tuple[str, ...]
    """Items, or texts of queries, of the person's own behaviours; as few as were found."""
    replacement: str | None
    """The item that would lead; null if the list were empty."""
    exact: bool
    """Every smaller set was tried, and changes nothing."""


class Reasons(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="reasons"):
    """Why the items of one list stand in it, on `interest.attributions` (key = user_id)."""

    recommendation_id: str
    user_id: str
    method: str
    part_names: tuple[str, ...]
    behaviours: tuple[CitedBehaviour, ...]
    """Those that a place cites, each once."""
    places: tuple[PlaceReason, ...]
    """In the order of the list: the first has rank 1."""
    reasons: tuple[dict[str, str], ...]
    """Each sentence once, by language; see the setting `explanation_languages`."""
    gap: float
    """How far scores and sums of contributions and parts were apart before numbers were rounded: the largest of the list, as
    a share of the score where that is larger than 1. About 1e-15."""
    counterfactual: WithoutItems | None = None
    """Of the first place, for a share of users: see the setting `counterfactual_users`."""
    schema_version: Literal[2] = REASONS_VERSION


def check_indices(record: Reasons) -> None:
    """Whether everything that a place refers to is there.

    Raises:
        msgspec.ValidationError: it is not.
    """
    behaviours, sentences, parts = len(record.behaviours), len(record.reasons), len(record.part_names)
    for place in record.places:
        if place.reason >= sentences or len(place.parts) != parts:
            raise msgspec.ValidationError(f"place {place.item_id!r} refers to a reason or a part that is not there")
        for cause in place.causes:
            if cause.behaviour >= behaviours:
                raise msgspec.ValidationError(f"place {place.item_id!r} refers to a behaviour that is not there")


# --- before 0.3 ---


class Contribution(msgspec.Struct, frozen=True, gc=False):
    """How much one behaviour of the user added to an item's score."""

    item_id: str
    action: Action
    event_time: int
    contribution: float


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """The same true reason in two languages."""

    en: str
    zh: str


class RecommendationAttribution(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="recommendation"):
    """Why one item stands in one list. Written before 0.3, a record an item; still read."""

    recommendation_id: str
    user_id: str
    item_id: str
    rank: int
    score: float
    contributions: tuple[Contribution, ...]
    """The strongest first."""
    residual: float
    """`score` minus contributions, `others` and the parts that no behaviour caused; ~0 where `method` is exact."""
    method: str
    explanation: Explanation
    others: float
    """Sum of the contributions of behaviours that are too weak to be listed; see the setting `contributions_max`."""
    strategy: Strategy = "unknown"
    """As in the recommendation; `unknown` in records of before 0.8."""
    propensity: float = 1.0
    counterfactual: WithoutItems | None = None
    """Of the first place, for a share of users: see the setting `counterfactual_users`."""
    schema_version: int = 1


# --- either ---


class ItemPlace(NamedTuple):
    """Where an item stood in a list, and what put it there."""

    item_id: str
    rank: int
    strategy: Strategy
    propensity: float
    moved_by: str | None = None
    score: float | None = None
    """What the ranking says of item and person, without what a placement takes off and a shop adds; None: not told."""


class ItemReason(NamedTuple):
    """Why one item stands in one list, whatever record said so."""

    recommendation_id: str
    user_id: str
    item_id: str
    rank: int
    score: float
    contributions: tuple[Contribution, ...]
    """The strongest first."""
    others: float
    sentences: Mapping[str, str]
    """By language."""

    def sentence(self, language: str) -> str:
        """In this language, else in the first that there is; "" where there is none."""
        return self.sentences.get(language) or next(iter(self.sentences.values()), "")


def item_reasons(record: Reasons | RecommendationAttribution) -> list[ItemReason]:
    """One per item of the list, in its order; of a record of before 0.3 the one that it holds."""
    if isinstance(record, RecommendationAttribution):
        said = {"en": record.explanation.en, "zh": record.explanation.zh}
        return [
            ItemReason(
                record.recommendation_id,
                record.user_id,
                record.item_id,
                record.rank,
                record.score,
                record.contributions,
                record.others,
                said,
            )
        ]
    return [
        ItemReason(
            record.recommendation_id,
            record.user_id,
            place.item_id,
            rank,
            place.score,
            tuple(Contribution(*_fields(record.behaviours[c.behaviour]), c.contribution) for c in place.causes),
            place.others,
            record.reasons[place.reason],
        )
        for rank, place in enumerate(record.places, 1)
    ]


def item_places(record: Reasons | RecommendationAttribution) -> list[ItemPlace]:
    """As `item_reasons`."""
    if isinstance(record, RecommendationAttribution):
        return [ItemPlace(record.item_id, record.rank, record.strategy, record.propensity)]
    ranked = [at for at, name in enumerate(record.part_names) if name not in OF_PLACEMENTS]
    return [
        ItemPlace(p.item_id, rank, p.strategy, p.propensity, p.moved_by, sum(p.parts[at] for at in ranked))
        for rank, p in enumerate(record.places, 1)
    ]


def _fields(cited: CitedBehaviour) -> tuple[str, Action, int]:
    return cited.item_id, cited.action, cited.event_time

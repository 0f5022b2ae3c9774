"""Where lists are shown, and what is decided there beside the scores. In `penchant.toml`:

[placements.home]
diversity = 0.3
fatigue = 0.5
explore = { slots = 1, from_place = 8 }
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream.settings.bounds import TopicName

HOME: Final = "home"
"""The placement whose lists go to `topic_recommendations`."""

PLACEMENTS_MAX: Final = 4
"""`home` among them. Each costs about as much again for every list, and a ledger remembers six lists of a person."""

PlacementName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]

MINORS: Final = "minors"
"""An audience to whom nothing of `sensitive_categories` is shown."""

SLOTS_MAX: Final = 200
POOL_MAX: Final = 255

_STRICT: Final = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ExploreSettings(BaseModel):
    """Places that are given to items of which little is known."""

    model_config = _STRICT

    slots: Annotated[int, Field(ge=0, le=20)] = Field(0, description="Places that explore; 0 = none")
    from_place: Annotated[int, Field(ge=1, le=SLOTS_MAX)] = Field(4, description="The first of them, counted from 1")
    rate: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Probability that such a place is drawn, not given to the best item"
    )
    temperature: Annotated[float, Field(ge=0.01, le=100)] = Field(
        1.0, description="Of the draw: low = nearly always the best of the little known, high = all alike"
    )
    optimism: Annotated[float, Field(ge=0, le=100)] = Field(
        2.0, description="Added to the score of an item of which nothing is known; less with evidence"
    )
    max_exposures: Annotated[int, Field(ge=0)] = Field(
        100, description="Items that were shown and taken less often are eligible"
    )
    max_age_h: Annotated[float, Field(ge=0)] = Field(
        48.0, description="So are items whose `published_at` is not longer ago, hours"
    )
    min_history: Annotated[int, Field(ge=1)] = Field(
        5, description="People with fewer items in their history see no explored place"
    )


class PlacementSettings(BaseModel):
    """What is decided beside the scores where lists are shown."""

    model_config = _STRICT

    topic: TopicName | None = Field(
        None,
        description="Where its lists go; default `topic_recommendations`, with the placement's name behind it",
    )
    slots: Annotated[int, Field(gt=0, le=SLOTS_MAX)] | None = Field(
        None, description="Items in a list; default `top_k`"
    )
    diversity: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="0 = by score alone, 1 = by how little alike the items of a list are"
    )
    diversity_method: Literal["mmr", "dpp"] = Field(
        "mmr", description="Maximal marginal relevance, or a determinantal point process"
    )
    fatigue: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0,
        description="Taken off the score of an item for each time that it was seen and not taken; needs impressions",
    )
    fatigue_half_life_h: Annotated[float, Field(gt=0)] = Field(
        24.0, description="After so many hours having been seen counts half"
    )
    pool: Annotated[int, Field(ge=10, le=POOL_MAX)] = Field(
        60, description="Best items that a list is composed of; never fewer than its places"
    )
    rows: bool = Field(
        False,
        description="Part the list into rows with titles that are true of each item, such as what they are because of",
    )
    audience: Literal["everybody", "minors"] = Field(
        "everybody", description="`minors`: nothing of `sensitive_categories` is listed there, whatever rules say"
    )
    explore: ExploreSettings = Field(
        default_factory=lambda: ExploreSettings.model_validate({}),
        description="Places for items of which little is known",
    )


class Placements(BaseModel):
    """Where lists are shown."""

    placements: dict[PlacementName, PlacementSettings] = Field(
        {},
        description="Places where lists are shown, by name: tables `[placements.NAME]`, see deploy/docs/placements.md",
    )
    draws_seed: str = Field(
        "",
        max_length=64,
        description="Of the draws of explored places: another one draws otherwise, the same one the same",
    )

    @field_validator("placements")
    @classmethod
    def _bounded(cls, value: dict[str, PlacementSettings]) -> dict[str, PlacementSettings]:
        if (n := len({HOME, *value})) > PLACEMENTS_MAX:
            raise ValueError(f"there are {n} placements with `{HOME}`, {PLACEMENTS_MAX} at most can be")
        if HOME in value and value[HOME].topic is not None:
            raise ValueError(f"the lists of `{HOME}` go to `topic_recommendations`, name that one otherwise")
        return value


def misfit(placement: PlacementSettings, top_k: int) -> str | None:
    """Why its explored places do not fit its list; None: they do."""
    explore, slots = placement.explore, placement.slots or top_k
    if explore.slots <= max(0, slots - explore.from_place + 1):
        return None
    return f"has {slots} places, so {explore.slots} that explore do not fit from place {explore.from_place} on"

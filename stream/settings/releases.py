"""Releases of item statistics under differential privacy: what is promised, and what is counted of a person."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from models.privacy.bounds import LEAST_EPSILON, MOST_EPSILON


class ReleaseSettings(BaseModel):
    """Releases of item statistics under differential privacy."""

    dp_epsilon: float = Field(
        0.0,
        description="Of the item statistics that `penchant_private` of `penchant evaluate rankings` ranks with, per person and "
        "horizon: 1 is strong, 8 weak. 0 = off. A worker does not release statistics yet and refuses to start with it",
    )
    dp_delta: float = Field(
        1e-6,
        gt=0,
        lt=1,
        description="Chance that the promise of dp_epsilon does not hold: far below 1 / number of people",
    )
    dp_items: Annotated[int, Field(ge=1)] = Field(
        20, description="First engagements of one person that count for items, over all releases of a horizon"
    )
    dp_pairs: Annotated[int, Field(ge=1)] = Field(
        25, description="Pairs of items of one person that count, over all releases of a horizon"
    )
    dp_pair_window: Annotated[int, Field(ge=1, le=64)] = Field(
        16, description="A new item makes pairs with so many items that the person had before it"
    )
    dp_near_items: Annotated[int, Field(ge=1)] = Field(
        3, description="Pairs of an item and so many that are nearest to it by text may be counted; no others"
    )
    dp_release_h: Annotated[float, Field(gt=0)] = Field(336.0, description="Hours between two releases of a horizon")
    dp_releases: Annotated[int, Field(ge=1, le=10_000)] = Field(
        3, description="Releases of a horizon: fixed before the first one, and none comes after them"
    )

    @field_validator("dp_epsilon")
    @classmethod
    def _epsilon_says_something(cls, value: float) -> float:
        if value != 0.0 and not LEAST_EPSILON <= value <= MOST_EPSILON:
            raise ValueError(f"has to lie between {LEAST_EPSILON:g} and {MOST_EPSILON:g}, or be 0 for off")
        return value

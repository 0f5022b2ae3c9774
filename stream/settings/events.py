"""What events mean, and which are believed."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from models.vocabulary import ACTIONS
from stream.settings.bounds import Positive
from stream.wire.times import parse_time_ms


class EventSettings(BaseModel):
    """What events mean, and which are believed."""

    strength_view: float = Field(0.2, description="How much interest a `view` shows")
    strength_click: float = Field(1.0, description="How much interest a `click` shows")
    strength_like: float = Field(2.0, description="How much interest a `like` shows")
    strength_dislike: float = Field(-2.0, description="How much interest a `dislike` shows")
    strength_cart: float = Field(2.0, description="How much interest a `cart` shows")
    strength_query: float = Field(
        1.0, description="How much interest a `query` shows in what its text is near to; needs an encoder"
    )
    strength_purchase: float = Field(4.0, description="How much interest a `purchase` shows")
    dwell_saturation_ms: Positive = Field(
        30_000, description="Dwell time at which half of its largest extra gain (x2) is reached"
    )
    event_time_earliest: str = Field(
        "1990-01-01T00:00:00Z", description="Events said to have happened before this are refused"
    )
    event_time_max_ahead_s: Annotated[int, Field(ge=0)] = Field(
        86_400, description="Events said to happen later than this after their Kafka timestamp are refused"
    )

    engagements_max_per_user_day: Annotated[int, Field(ge=0)] = Field(
        1000,
        description="First engagements of one user in a day that count for item statistics; further ones change that "
        "user's own state only. 0 = all",
    )
    unknown_items_max: Annotated[int, Field(ge=0)] = Field(
        100_000,
        description="Items that the catalogue does not know of which statistics are kept, 9 KB each; engagements with further "
        "ones change their users' states only",
    )

    unknown_item_ttl_days: Annotated[int, Field(ge=0)] = Field(
        90,
        description="Statistics of an item that the catalogue does not have, or has no more, are forgotten when nobody has "
        "engaged with it for so many days of event time; 0 = never",
    )

    @field_validator("event_time_earliest")
    @classmethod
    def _rfc3339(cls, value: str) -> str:
        if parse_time_ms(value) is None:
            raise ValueError("must be an RFC 3339 time with an offset, such as 1990-01-01T00:00:00Z")
        return value

    def strengths(self) -> tuple[float, ...]:
        """Interest strength per action code (position in `ACTIONS`); 0 where an action is no sign of interest."""
        return tuple(float(getattr(self, f"strength_{action}", 0.0)) for action in ACTIONS)

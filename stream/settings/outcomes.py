"""Which recommendation earned an outcome."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from stream.settings.bounds import PositiveFloat


class OutcomeSettings(BaseModel):
    """Which recommendation earned an outcome."""

    outcome_rule: Literal["none", "last_touch", "first_touch", "linear", "position_based", "time_decay"] = Field(
        "last_touch",
        description="How a click, cart or purchase is credited to the recommendations before it; `none`: not at all",
    )
    outcome_window_click_h: Annotated[float, Field(ge=0)] = Field(
        24.0, description="How long before a click a recommendation may lie to earn it; 0 = clicks are not credited"
    )
    outcome_window_cart_h: Annotated[float, Field(ge=0)] = Field(72.0, description="The same of a `cart`")
    outcome_window_purchase_h: Annotated[float, Field(ge=0)] = Field(168.0, description="The same of a `purchase`")
    outcome_half_life_h: PositiveFloat = Field(
        24.0,
        description="`time_decay`: a recommendation so much earlier than the last one earns half of what that earns",
    )

    learn_clicks: bool = Field(
        True, description="Learn click probabilities from impressions and clicks, where impressions are sent"
    )

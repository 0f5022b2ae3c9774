"""How lists and their reasons are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from models.vocabulary import Expert
from stream.errors import InputFileError
from stream.settings.bounds import PositiveFloat
from stream.wire.times import parse_timezone


class RankingSettings(BaseModel):
    """How lists and their reasons are made."""

    top_k: Annotated[int, Field(gt=0, le=200)] = Field(20, description="Items in a recommendation")
    contributions_max: Annotated[int, Field(ge=0)] = Field(
        8, description="Behaviours listed per reason, strongest first; the others are summed up. 0 = list all"
    )
    reasons_min_others: Annotated[int, Field(ge=0)] = Field(
        10,
        description="A reason speaks of what others did only where at least so many others did it; else it names the "
        "person's own behaviours, or claims nothing",
    )
    explained_users: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Share of users whose lists come with reasons, chosen by their id; 0 = nobody's"
    )
    counterfactual_users: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Share of users, among those with reasons, whose first place comes with what would change it; some "
        "20 ms a list",
    )
    explanation_languages: Annotated[str, Field(pattern=r"^[a-z]{2,3}(,[a-z]{2,3})*$")] = Field(
        "en,zh", description="Languages that reasons are written in, by their codes, without spaces"
    )
    explanation_timezone: str = Field("UTC", description='Where "this morning" in a reason is: `Europe/London`, say')
    explanation_rewriter_url: str | None = Field(
        None,
        description="An OpenAI-compatible chat service such as `http://llm:8000/v1` that `penchant explain --rewrite` "
        "asks to say reasons in other words",
    )
    explanation_rewriter_model: str | None = Field(None, min_length=1, description="The model's name at that service")
    explanation_rewriter_api_key: SecretStr | None = Field(None, description="Bearer token of that service")
    explanation_rewriter_timeout_s: PositiveFloat = Field(
        10.0, description="Longest wait for one sentence of it; a later one is not rewritten"
    )
    strategy_feedback_max: Annotated[float, Field(ge=0, le=5)] = Field(
        0.2,
        description="Most that ranking adds to a score for what its strategy earned, as log-odds of a click; 0 = nothing",
    )
    newcomer_lists: Literal["auto", Expert] = Field(
        "auto",
        description="Which count makes the lists of people without history; auto = the one that newcomers take from most, "
        "judged by their first choices",
    )
    repeat_purchases: bool = Field(False, description="Recommend items the user has already bought (groceries, say)")
    history_window: Annotated[int, Field(gt=0, le=64)] = Field(
        64, description="Distinct items scored from, newest first"
    )
    pair_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9, description="Weight of a co-occurrence relative to one a position nearer in the history"
    )
    pair_window: Annotated[int, Field(gt=0, le=64)] = Field(
        30, description="Earlier items that a new item co-occurs with"
    )
    forward_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        0.6, description="The same of what follows what, whose statistics are kept beside"
    )
    neighbours_max: Annotated[int, Field(gt=0, le=1000)] = Field(
        300, description="Co-occurring items kept per item; the lightest goes first"
    )
    neighbours_scored: Annotated[int, Field(gt=0, le=100_000)] = Field(
        300, description="Nearest neighbours of a user's history that are scored; bounds the work per list"
    )
    ranking_weights: Path | None = Field(
        None, description="Weights from `penchant train weights`, until `interest.models` names others"
    )
    sequence_model: Path | None = Field(
        None, description="Directory from `penchant train sequence`, until `interest.models` names another"
    )
    interest_points: Annotated[int, Field(gt=0, le=64)] = Field(
        6, description="Interests told apart per user by text; the heaviest stay"
    )
    interest_candidates: Annotated[int, Field(gt=0, le=1000)] = Field(
        50, description="Items proposed to each user because their text is near"
    )
    interest_short_half_life_h: PositiveFloat = Field(
        72.0,
        description="Interests by text fade with two half-lives in equal shares, counted from the user's last event",
    )
    interest_long_half_life_h: PositiveFloat = Field(720.0, description="The longer of the two, hours")

    @field_validator("explanation_timezone")
    @classmethod
    def _time_zone(cls, value: str) -> str:
        try:
            parse_timezone(value)
        except InputFileError:
            raise ValueError("must be the name of a time zone, such as UTC or Europe/London") from None
        return value

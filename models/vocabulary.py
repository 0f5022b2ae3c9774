"""The closed vocabularies, once: what people do, what puts an item into a list, how an outcome is credited, by what.

The position of a name is the code that packed state, ledgers and compiled loops store: append only, never reorder.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Action = Literal["view", "click", "like", "dislike", "cart", "purchase", "impression", "query", "refund"]
"""What a person did."""

Strategy = Literal["interest", "popular", "cold_start", "explore", "unknown"]
"""What put an item into a list. `unknown`: of a recommendation that the user's ledger does not remember."""

Expert = Literal[
    "popularity",
    "trend_hour",
    "trend_6_hours",
    "trend_day",
    "trend_week",
    "trend_2_months",
    "trend_year",
    "entry_3_days",
    "entry_month",
    "entry_year",
]
"""Single counts by which everything can be put in order for somebody of whom nothing is known; named as features are."""

NewcomerContext = Literal["hour", "weekday", "scene"]
"""What of a moment a newcomer's list may be made for; named as features are."""

Rule = Literal["last_touch", "first_touch", "linear", "position_based", "time_decay"]
"""How an outcome is divided among the recommendations that preceded it; see `models.credit.shares`."""

Evidence = Literal["named", "impression", "list", "none"]
"""What an outcome was credited by: its own `recommendation_id`, impressions, published lists, or nothing."""

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
EXPERTS: Final[tuple[Expert, ...]] = get_args(Expert)
NEWCOMER_CONTEXTS: Final[tuple[NewcomerContext, ...]] = get_args(NewcomerContext)
STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)
RULES: Final[tuple[Rule, ...]] = get_args(Rule)
EVIDENCE: Final[tuple[Evidence, ...]] = get_args(Evidence)

SEQUENCE: Final = "sequence"
"""The list that is no count: what the sequence model expects of somebody without history."""

NEWCOMER_LISTS: Final[tuple[str, ...]] = (*EXPERTS, SEQUENCE)
"""All lists that compete for people without history."""

VIEW, CLICK, LIKE, DISLIKE, CART, PURCHASE, IMPRESSION, QUERY, REFUND = range(len(ACTIONS))
"""Codes of `ACTIONS`."""

INTEREST, POPULAR, COLD_START, EXPLORE, UNKNOWN = range(len(STRATEGIES))
"""Codes of `STRATEGIES`."""

LAST_TOUCH, FIRST_TOUCH, LINEAR, POSITION_BASED, TIME_DECAY = range(len(RULES))
"""Codes of `RULES`."""

NAMED, SHOWN, LISTED, NOTHING = range(len(EVIDENCE))
"""Codes of `EVIDENCE`."""

"""Which topics a backup is made of, in the order in which they are read.

The order makes it consistent while workers go on. Statistics of items are read before the states, so whatever an event added to
an item stands in the state of its user, too; deltas behind them, so none is missing that a state has sent. Each partition is
read to an end at which no transaction is open, and the state itself says up to which event it goes.
"""

from __future__ import annotations

from typing import Final

from stream.settings import Settings

ITEM_STATS: Final = "item_stats"
CHANGELOG: Final = "changelog"
ITEM_DELTAS: Final = "item_deltas"
STRATEGY_STATS: Final = "strategy_stats"
MODELS: Final = "models"
RULES: Final = "rules"
ITEMS: Final = "items"
RECOMMENDATIONS: Final = "recommendations"
PLACEMENT: Final = "recommendations/"
"""And the name of the placement."""


def topics_by_role(settings: Settings) -> dict[str, str]:
    """Name of the topic by role."""
    return {
        ITEM_STATS: settings.topic_item_stats,
        CHANGELOG: settings.changelog_topic,
        ITEM_DELTAS: settings.topic_item_deltas,
        STRATEGY_STATS: settings.topic_strategy_stats,
        MODELS: settings.topic_models,
        RULES: settings.topic_rules,
        RECOMMENDATIONS: settings.topic_recommendations,
        **{PLACEMENT + name: topic for name, topic in settings.placement_topics().items()},
        ITEMS: settings.topic_items,
    }

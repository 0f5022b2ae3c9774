"""Names of the topics, and how they are made."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from stream.settings.bounds import Positive, TopicName


class TopicSettings(BaseModel):
    """Names of the topics, and how they are made."""

    topic_events: TopicName = Field("interest.events", description="Behaviours, key = user_id")
    topic_items: TopicName = Field("interest.items", description="Catalogue, compacted, key = item_id")
    topic_recommendations: TopicName = Field("interest.recommendations", description="Lists, compacted, key = user_id")
    topic_attributions: TopicName = Field("interest.attributions", description="Reasons and credits, key = user_id")
    topic_strategy_stats: TopicName = Field(
        "interest.strategy-stats", description="What each strategy earned, per slot and context, compacted"
    )
    topic_dead_letter: TopicName = Field("interest.dead-letter", description="Refused records, original bytes")
    topic_item_deltas: TopicName = Field("interest.item-deltas", description="Internal: what events add to items")
    topic_item_stats: TopicName = Field("interest.item-stats", description="Internal: statistics per item, compacted")
    topic_models: TopicName = Field(
        "interest.models", description="Internal: versions of what ranks, compacted, see `penchant models`"
    )
    topic_rules: TopicName = Field(
        "interest.rules", description="Rules of the placements, compacted, see `penchant rules`"
    )
    partitioner: Literal["murmur2_random", "consistent_random"] = Field(
        "murmur2_random",
        description="How a key chooses its partition: Java clients use murmur2, librdkafka's own default is consistent",
    )
    partitions: Annotated[int, Field(gt=0, le=1024)] = Field(
        4, description="Partitions that `topics create` makes; the most workers that can share the work"
    )
    item_partitions: Annotated[int, Field(ge=0, le=1024)] = Field(
        0,
        description="Partitions that `topics create` makes of `topic_item_deltas` and `topic_item_stats`: the most workers "
        "that share the statistics of items; 0 = as many as of events, 16 at most",
    )
    replication_factor: Positive = Field(1, description="Replicas that `topics create` asks for; 3 in production")

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        names = [getattr(self, name) for name in type(self).model_fields if name.startswith("topic_")]
        if len(set(names)) != len(names):
            raise ValueError("every topic_* setting must name a different topic")
        return self

"""The topics that Penchant reads and writes, and how each has to be."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream.kafka.producer import ROOM_FOR_HEADERS_BYTES
from stream.settings import Settings

POLICY: Final = "cleanup.policy"

CHANGELOG_CONFIG = {
    POLICY: "compact",
    "max.message.bytes": "4194304",
    "min.cleanable.dirty.ratio": "0.3",
    # The segment that is being written to is never compacted. With Kafka's gigabyte a worker that joins would read one of every
    # partition, nearly all of it outdated, before it makes its first list.
    "segment.bytes": str(32 << 20),
}


class TopicSpec(NamedTuple):
    """A topic that Penchant reads or writes."""

    name: str
    config: dict[str, str]
    purpose: str

    @property
    def policy(self) -> frozenset[str]:
        """What must become of its old records: `delete`d by age, or `compact`ed by key."""
        return frozenset((self.config[POLICY],))


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """All topics, in the order of the data's way."""
    # Said even where it is Kafka's own default: a broker may have another one.
    kept, compact = {POLICY: "delete"}, {POLICY: "compact"}
    # Whatever could be read as an event must fit, or one oversized record would stop the worker for ever.
    large = kept | {"max.message.bytes": str(settings.fetch_max_bytes + ROOM_FOR_HEADERS_BYTES)}
    return [
        TopicSpec(settings.topic_events, kept, "behaviours, key = user_id"),
        TopicSpec(settings.topic_items, compact, "catalogue, key = item_id, null = removed"),
        TopicSpec(settings.topic_recommendations, compact, "lists, key = user_id, null = erased"),
        *(
            TopicSpec(topic, compact, f"lists of placement {name}, key = user_id, null = erased")
            for name, topic in settings.placement_topics().items()
        ),
        TopicSpec(settings.topic_attributions, kept, "reasons and credits, key = user_id"),
        TopicSpec(
            settings.topic_strategy_stats, compact, "what strategies earned, key = STRATEGY/SLOT/CONTEXT/PARTITION"
        ),
        TopicSpec(settings.topic_dead_letter, large, "refused records, original bytes"),
        TopicSpec(settings.topic_item_deltas, large, "internal: what events add to items"),
        TopicSpec(settings.topic_item_stats, CHANGELOG_CONFIG, "internal: statistics per item"),
        TopicSpec(settings.topic_rules, CHANGELOG_CONFIG, "rules of the placements, key = rule/ID, null = removed"),
        TopicSpec(settings.topic_models, CHANGELOG_CONFIG, "internal: versions of what ranks"),
        TopicSpec(settings.changelog_topic, CHANGELOG_CONFIG, "internal: changelog of the users' state"),
    ]

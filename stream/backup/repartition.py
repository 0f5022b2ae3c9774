"""From so many partitions of events to another number: people's states move to where their events will come from now on."""

from __future__ import annotations

from stream.backup import roles
from stream.backup.layout import Layout
from stream.backup.manifest import Manifest
from stream.errors import UsageError
from stream.settings import Settings


def repartitioned(settings: Settings, manifest: Manifest, partitions: int) -> Layout:
    """How people move to so many partitions of the topics that the settings name.

    Raises:
        UsageError: there is nothing to move, events are left in the old topic, or the topics are those of before.
    """
    old, by, before = manifest.events_topic, settings.partitioner, manifest.partitions[roles.CHANGELOG]
    if by != manifest.partitioner:
        raise UsageError(
            f"the setting partitioner is {by}, and the backup is of {manifest.partitioner}.",
            "set it as it was: producers go by it",
        )
    if (settings.topic_events, settings.group_id) == (old, manifest.group_id):
        raise UsageError(
            f"the settings name topic {settings.topic_events} and group {settings.group_id}, which are those of before.",
            "name new ones (topic_events, group_id and the other topics), which `penchant repartition` creates",
        )
    for position in manifest.positions:
        if position.reached < position.end:
            raise UsageError(
                f"{old} partition {position.partition} has {position.end - position.reached} events that are in no state: "
                "under another number of partitions they would be lost.",
                f"send new events to {settings.topic_events}, let the workers finish {old}, and make a backup then",
            )
    if partitions == before:
        raise UsageError(f"there are {partitions} partitions already.", "use `penchant restore`")
    return Layout(before, partitions, by)

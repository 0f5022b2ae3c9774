"""What must hold before people are moved."""

from __future__ import annotations

import pytest
from backups import manifest_of, position

from stream.backup.layout import Layout
from stream.backup.repartition import repartitioned
from stream.errors import UsageError
from stream.settings import load_settings

DRAINED = manifest_of([position(0), position(1)])


def test_states_of_all_events_move_to_topics_of_another_name() -> None:
    settings = load_settings(topic_events="new.events", group_id="new")
    assert repartitioned(settings, DRAINED, 5) == Layout(2, 5, "murmur2_random")


@pytest.mark.parametrize(
    ("changed", "manifest", "partitions", "told"),
    [
        ({"partitioner": "consistent_random"}, DRAINED, 5, "set it as it was"),
        ({"topic_events": "old.events", "group_id": "old"}, DRAINED, 5, "which are those of before"),
        ({}, manifest_of([position(0), position(1, reached=8)]), 5, "partition 1 has 2 events that are in no state"),
        ({}, DRAINED, 2, "2 partitions already"),
    ],
)
def test_it_is_refused_where_something_would_be_lost(changed, manifest, partitions, told) -> None:
    settings = load_settings(**({"topic_events": "new.events", "group_id": "new"} | changed))
    with pytest.raises(UsageError, match=told):
        repartitioned(settings, manifest, partitions)

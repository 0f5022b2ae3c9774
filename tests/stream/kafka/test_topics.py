"""How many partitions `penchant topics create` gives to what is missing."""

from __future__ import annotations

import pytest

from stream.kafka.topics import Topic, _partitions
from stream.settings import load_settings


@pytest.mark.parametrize(
    ("partitions", "item_partitions", "existing", "of_items", "of_all_else"),
    [
        (4, 0, {}, 4, 4),
        (256, 0, {}, 16, 256),
        (256, 64, {}, 64, 256),
        (4, 0, {"interest.events": 64}, 16, 64),
        (4, 0, {"penchant-interest-changelog": 8}, 8, 8),
        (4, 0, {"interest.events": 64, "interest.item-stats": 64}, 64, 64),
        (4, 2, {"interest.item-deltas": 12}, 12, 4),
    ],
)
def test_topics_of_items_have_few_partitions_unless_one_of_them_exists(
    partitions: int, item_partitions: int, existing: dict[str, int], of_items: int, of_all_else: int
) -> None:
    settings = load_settings(partitions=partitions, item_partitions=item_partitions)
    topics = {name: Topic(n, 1) for name, n in existing.items()}
    assert {_partitions(settings, topics, name) for name in ("interest.item-deltas", "interest.item-stats")} == {
        of_items
    }
    others = ("interest.events", "penchant-interest-changelog", "interest.items", "interest.recommendations")
    assert {_partitions(settings, topics, name) for name in others} == {of_all_else}

"""Names for places in Kafka."""

from __future__ import annotations

from typing import NamedTuple


class TopicPartition(NamedTuple):
    """A partition of a topic. Equal to and hashed like Faust's `TP`, which is a tuple of the same two, too."""

    topic: str
    partition: int

"""Catalogue records that a newer one of the same item has overtaken: sent again, they would undo it."""

from __future__ import annotations

from stream.dead_letters.letter import Letter
from stream.kafka.read_to_end import read_messages
from stream.settings import Settings


class NewerItems:
    """What the items topic holds of each key last; read once, when the first of its letters is asked about."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last: dict[bytes, tuple[int, int, int]] | None = None
        """By key: partition, offset, Kafka timestamp. Some 200 bytes of memory an item."""

    def __call__(self, letter: Letter) -> bool:
        """Whether the letter's record is outdated.

        Raises:
            TopicsError, BrokerUnreachableError: as `read_messages`.
        """
        if letter.source.topic != self._settings.topic_items or letter.key is None:
            return False
        if self._last is None:
            self._last = self._read()
        found = self._last.get(letter.key)
        if found is None:
            return False
        partition, offset, timestamp_ms = found
        if partition == letter.source.partition:
            return offset > letter.source.offset
        return timestamp_ms > letter.source.timestamp_ms  # the topic was made anew since, or has got partitions

    def _read(self) -> dict[bytes, tuple[int, int, int]]:
        last: dict[bytes, tuple[int, int, int]] = {}
        for messages in read_messages(self._settings, self._settings.topic_items):
            for message in messages:
                key, timestamp_ms = message.key(), message.timestamp()[1]
                if key is None:
                    continue
                before = last.get(key)
                if before is None or before[0] == message.partition() or before[2] <= timestamp_ms:
                    last[key] = message.partition(), message.offset(), timestamp_ms
        return last

"""The topics of a report on an experiment, read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from models.arrays import U64
from models.experiments.assignment import Experiment
from models.hashing import item_hash
from stream.analysis.experiments.lists import LastList, LastLists
from stream.analysis.outcomes.journeys import Person, Range
from stream.analysis.outcomes.read import Reading, read_journeys
from stream.settings import Settings
from stream.wire.records import item_decoder, recommendation_decoder


class Found(NamedTuple):
    """Everything that a report is made from."""

    lists: Mapping[str, LastList]
    people: Mapping[str, Person]
    categories: dict[int, int]
    """Of listed items, by hash: a bit for each category."""
    moved: int
    people_share: float
    records: int
    unreadable: int


def read_found(settings: Settings, experiment: Experiment, asked: Range, deadline_s: float) -> Found:
    """Events and attributions, then lists, then the categories of what they list.

    Raises:
        TopicsError, BrokerUnreachableError: a topic is missing, or no broker answers.
        UsageError: it took longer than `deadline_s`.
    """
    reading = Reading(settings, deadline_s)
    journeys = read_journeys(settings, asked, reading)
    lists = LastLists(settings.experiments_in_order(), experiment.name, journeys.below)
    for batch in reading.batches(settings.topic_recommendations, None):
        for record in batch:
            try:
                user_id = (record.key or b"").decode()
                lists.add(user_id, None if record.value is None else recommendation_decoder.decode(record.value))
            except (msgspec.DecodeError, UnicodeDecodeError):
                reading.unreadable += 1
    categories = _categories(settings, reading, lists.items())
    return Found(
        lists.people, journeys.people, categories, lists.moved, lists.share, reading.records, reading.unreadable
    )


def _categories(settings: Settings, reading: Reading, wanted: U64) -> dict[int, int]:
    bits: dict[str, int] = {}
    found: dict[int, int] = {}
    for batch in reading.batches(settings.topic_items, None):
        for record in batch:
            if record.value is None:
                continue  # what was taken away later is of the kind that it was
            try:
                item = item_decoder.decode(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                reading.unreadable += 1
                continue
            key = item_hash(item.item_id)
            at = int(np.searchsorted(wanted, np.uint64(key)))
            if at < len(wanted) and int(wanted[at]) == key:
                found[key] = sum({1 << bits.setdefault(name, len(bits)) for name in item.categories})
    return found

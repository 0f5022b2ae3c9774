"""Records of topics that `penchant serve` follows, and tables to put them into."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.kafka.replica import Replicated
from stream.serve.followed.table import FollowedTable
from stream.storage.rocks import DataDirectory

MEMORY_BYTES = 8 << 20


@contextmanager
def tables(path: Path) -> Iterator[dict[str, FollowedTable]]:
    """By any name that is asked for."""
    directory = DataDirectory(path, MEMORY_BYTES, MEMORY_BYTES)

    class Tables(dict[str, FollowedTable]):
        def __missing__(self, name: str) -> FollowedTable:
            self[name] = FollowedTable(directory.stores(name))
            return self[name]

    made = Tables()
    try:
        yield made
    finally:
        for table in made.values():
            table.close()
        directory.close()


def list_record(user: str, offset: int, items: list[str], at: int = 0, strategy: str = "interest") -> Replicated:
    """A list of `interest.recommendations`, the `at`-th record of partition 0."""
    places = [
        {
            "item_id": item,
            "rank": rank,
            "score": 1.0 / rank,
            "probability": 0.1,
            "strategy": strategy,
            "propensity": 1.0,
            "parts": {"co_occurrence": 1.0 / rank},
        }
        for rank, item in enumerate(items, 1)
    ]
    value = {
        "recommendation_id": f"{at:032x}",
        "user_id": user,
        "generated_at": 5,
        "event_time": 4,
        "source": {"topic": "e", "partition": 0, "offset": offset},
        "trigger": "event",
        "model": {"encoder": None, "sequence": None, "ranker": "r"},
        "items": places,
    }
    return Replicated(user.encode(), json.dumps(value).encode(), 0, at, 1_000 + at)

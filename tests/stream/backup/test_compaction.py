"""The newest record of each key, in the order of the topic."""

from __future__ import annotations

import random
from pathlib import Path

from backups import kept

from stream.backup.compaction import Newest


def test_the_newest_record_of_each_key_is_left_in_order_and_a_removed_key_is_gone(tmp_path: Path) -> None:
    rng = random.Random(2)
    records = [
        kept(offset, str(rng.randrange(50)).encode(), None if rng.random() < 0.3 else str(offset).encode(), offset)
        for offset in range(0, 3000, 3)
    ]
    records.append(kept(5000, None, b"without a key is nobody's"))
    expected = {record.key: record for record in records if record.key is not None}
    with Newest(tmp_path / "db") as newest:
        for at in range(0, len(records), 70):
            newest.add(records[at : at + 70])
        found = list(newest)
    assert found == sorted(record for record in expected.values() if record.value is not None)
    assert found != [], "the draw has some of both"
    assert list(tmp_path.rglob("*.sst")) == []
    with Newest(tmp_path / "db") as again:
        assert list(again) == []

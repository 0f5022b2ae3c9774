"""stream/partitions/users.py: what is known of a partition beside its users' states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.items.names import ItemNames
from stream.partitions.users import UserPartition
from stream.state.update import Changes
from stream.storage.rocks import DataDirectory

MIB = 1 << 20


@pytest.fixture
def users(tmp_path: Path) -> Iterator[UserPartition]:
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    stores = directory.stores("users")
    yield UserPartition(0, stores[0])
    stores.close_all()
    directory.close()


def engagements(n: int) -> Changes:
    none, zeros = np.empty(0, np.uint64), np.zeros(n, np.int64)
    return Changes(
        rows=zeros, n_applied=n, n_fenced=0, n_repeats=0, applied=zeros == 0, first_item=np.arange(1, n + 1, dtype=np.uint64),
        first_time_ms=zeros, first_event=zeros, first_context=zeros.astype(np.uint8),
        first_is_entry=zeros == 0,
        first_history=np.zeros((n, 2), np.uint64), exposed_item=none, clicked_item=none,
    )  # fmt: skip


def test_engagements_are_unreflected_from_when_they_are_applied_until_the_statistics_include_their_commit(
    users: UserPartition,
) -> None:
    names = ItemNames()
    users.next_offset = 10
    users.collect(engagements(3))
    users.collect(engagements(2))
    assert users.unreflected == 5
    users.take_deltas(0.9, 0.6, names)
    users.next_offset = 20
    users.collect(engagements(1))
    users.take_deltas(0.9, 0.6, names)
    assert users.unreflected == 6
    users.reflected(8)
    assert users.unreflected == 6
    users.reflected(9)
    assert users.unreflected == 1
    users.reflected(19)
    assert users.unreflected == 0

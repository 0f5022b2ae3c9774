"""States of people as the changelog brings them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from followed_records import tables

from models.vocabulary import CLICK
from stream.errors import CorruptStateError
from stream.kafka.replica import Replicated
from stream.params import update_params
from stream.serve.followed.people import FollowedPeople
from stream.settings.load import SettingsAsGiven
from stream.state.ledger import LEDGER_PREFIX
from stream.state.record import NEVER, States
from stream.state.update import EventColumns, apply_events


def packed(item: int, time_ms: int) -> bytes:
    states, zeros = States(1), np.zeros(1, np.uint8)
    columns = EventColumns(
        np.zeros(1, np.int64), np.full(1, 7), np.full(1, time_ms), np.full(1, item, np.uint64), np.full(1, CLICK, np.uint8),
        zeros, zeros, zeros.astype(np.uint32), zeros,
    )  # fmt: skip
    apply_events(states, columns, update_params(SettingsAsGiven()))
    (value,) = states.pack(np.zeros(1, np.int64))
    return value


def test_a_state_is_read_as_it_was_committed_and_only_people_are_kept(tmp_path: Path):
    with tables(tmp_path) as made:
        people, states = FollowedPeople(made["people"]), States(1)
        emoji = "😀".encode()
        people.take(
            0,
            [
                Replicated(b"mei", packed(5, 1_700_000_000_000), 0, 0, 0),
                Replicated(LEDGER_PREFIX + b"mei", b"ledger", 0, 1, 0),
                Replicated(emoji, packed(6, 1_700_000_001_000), 0, 2, 0),
            ],
        )
        assert people.load(b"mei", states)
        assert (int(states.item[0, 0]), int(states.fence[0])) == (5, 7)
        assert people.load(emoji, states)
        assert int(states.item[0, 0]) == 6
        assert not people.load(b"nobody", states)
        assert (int(states.n_ring[0]), int(states.fence[0])) == (0, NEVER)
        assert not people.load(LEDGER_PREFIX + b"mei", states)
        assert made["people"].get(LEDGER_PREFIX + b"mei") is None
        assert people.lately(5) == [("😀", 1_700_000_001_000), ("mei", 1_700_000_000_000)]
        people.take(0, [Replicated(b"mei", None, 0, 3, 0)])
        assert not people.load(b"mei", states)
        assert people.lately(5) == [("😀", 1_700_000_001_000)]
        assert people.position(0) == 4


def test_bytes_that_are_no_state_are_told_and_leave_nobody_in_the_row(tmp_path: Path):
    with tables(tmp_path) as made:
        people, states = FollowedPeople(made["people"]), States(1)
        people.take(0, [Replicated(b"mei", b"garbage", 0, 0, 0)])
        with pytest.raises(CorruptStateError):
            people.load(b"mei", states)
        assert int(states.n_ring[0]) == 0


def test_a_cleared_row_is_nobody():
    states, fresh = States(1), States(1)
    for column in states.columns:
        column[0] = 1 if column.dtype.names is None else (1, 1, 1, 1, 1)
    states.clear(0)
    for name, column in states.columns._asdict().items():
        assert column[0].tobytes() == getattr(fresh, name)[0].tobytes(), name


def test_who_asks_while_a_topic_that_was_made_again_is_dropped_is_told_of_nobody(tmp_path: Path):
    with tables(tmp_path) as made, ThreadPoolExecutor(1) as other:
        people = FollowedPeople(made["people"])
        people.take(0, [Replicated(b"mei", packed(5, 1_700_000_000_000), 0, 0, 0)])
        stores = made["people"]._stores
        wipe, asked = stores.wipe, []

        def wiping(partition: int) -> None:
            wipe(partition)
            asked.append(other.submit(people.load, b"mei", States(1)))
            wait(asked, timeout=0.2)  # it has to come before there is a store again

        stores.wipe = wiping  # type: ignore[method-assign]
        people.begin_anew()
        assert asked[0].result() is False
        assert people.lately(5) == []
        assert people.position(0) is None

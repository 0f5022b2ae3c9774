"""Where what is known of people and partitions goes, and what becomes of it there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from backups import kept, manifest_of, packed_state, position

from stream.backup.archive import Kept
from stream.backup.layout import Layout, layout_of, next_epoch, placed
from stream.errors import InputFileError
from stream.kafka.partitioner import key_partition
from stream.outcomes.clicks import CLICKS_KEY
from stream.outcomes.newcomers import NEWCOMERS_KEY
from stream.state.ledger import LEDGER_PREFIX
from stream.state.log_mark import LOG_KEY, MEANT_KEY
from stream.state.owed import OWED_PREFIX, pack_mark, read_mark
from stream.state.told import told_key
from stream.wire.codes import EPOCH_OFFSETS

BY = "murmur2_random"


def all_of(records: Sequence[Kept], where, layout: Layout) -> list[tuple[int, bytes, bytes | None]]:
    return [each[:3] for nth in range(layout.passes) for each in placed(records, where, layout, nth)]


def test_states_stay_to_the_byte_and_marks_of_the_log_are_left_out() -> None:
    state = packed_state(5)
    records = [kept(0, b"ann", state), kept(1, LOG_KEY, b"x"), kept(2, MEANT_KEY, b"x"), kept(3, told_key(0), b"t")]
    assert all_of(records, position(3), Layout(4, 4, BY)) == [(3, b"ann", state)]
    assert all_of(records, position(3), Layout(4, 4, BY, keeps_told=True)) == [
        (3, b"ann", state),
        (3, told_key(0), b"t"),
    ]


def test_who_had_no_list_for_an_event_before_the_backup_is_owed_one() -> None:
    epoch = EPOCH_OFFSETS
    records = [kept(0, b"ann", packed_state(epoch + 7, 111)), kept(1, b"bob", packed_state(epoch + 6, 222))]
    found = all_of(records, position(2, epoch=1, reached=9, answered=7), Layout(4, 4, BY))
    assert [(partition, key) for partition, key, _ in found] == [(2, b"ann"), (2, OWED_PREFIX + b"ann"), (2, b"bob")]
    assert read_mark(found[1][2] or b"") == 111
    assert next_epoch(manifest_of([position(0, epoch=1), position(1, epoch=4)])) == 5


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
def test_all_that_is_known_of_a_person_moves_to_where_their_events_will_be(partitioner: str) -> None:
    layout = Layout(4, 7, partitioner)
    users = [f"user-{n}".encode() for n in range(200)]
    for user in users:
        source = key_partition(user, 4, partitioner)
        records = [
            kept(0, user, packed_state(1)),
            kept(1, LEDGER_PREFIX + user, b"l"),
            kept(2, OWED_PREFIX + user, pack_mark(3)),
        ]
        found = all_of(records, position(source), layout)
        assert [key for _, key, _ in found] == [record.key for record in records]
        assert {partition for partition, _, _ in found} == {key_partition(user, 7, partitioner)}


def test_of_two_states_of_a_person_the_one_where_events_arrive_is_written_last() -> None:
    layout = Layout(4, 7, BY)
    home = key_partition(b"ann", 4, BY)
    passes = [
        [source for source in range(4) if list(placed([kept(0, b"ann", b"s")], position(source), layout, nth))]
        for nth in range(layout.passes)
    ]
    assert passes == [[source for source in range(4) if source != home], [home]]


def test_totals_stay_in_their_partition_and_click_models_are_copied_to_new_ones() -> None:
    records = [kept(0, b"\xfe0/1/2", b"t"), kept(1, NEWCOMERS_KEY, b"n"), kept(2, CLICKS_KEY, b"c")]
    wider = all_of(records, position(1), Layout(2, 6, BY))
    assert wider == [(1, b"\xfe0/1/2", b"t"), (1, NEWCOMERS_KEY, b"n"), *((p, CLICKS_KEY, b"c") for p in (1, 3, 5))]
    assert all_of(records, position(3), Layout(4, 2, BY)) == []


def test_what_this_release_does_not_know_is_not_moved_blindly() -> None:
    strange = [kept(0, b"\xf5ann", b"x")]
    assert all_of(strange, position(0), layout_of(manifest_of([position()]), "changelog", 1)) == [(0, b"\xf5ann", b"x")]
    with pytest.raises(InputFileError, match="does not know"):
        all_of(strange, position(0), Layout(1, 2, BY))

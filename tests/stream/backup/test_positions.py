"""How far states go, and where that is in a copy of the topic with other offsets."""

from __future__ import annotations

import pytest
from backups import kept, packed_state

from stream.backup.positions import Reach, behind, where_of
from stream.errors import InputFileError
from stream.state.ledger import LEDGER_PREFIX
from stream.state.log_mark import LOG_KEY, LogMark, pack_log
from stream.wire.codes import EPOCH_OFFSETS

EVENTS = [kept(n, b"ann", b'{"n":%d}' % (n % 7 if n < 40 else n)) for n in range(60)]


def test_the_mark_of_the_last_transaction_says_how_far_the_states_go() -> None:
    reach = Reach()
    for offset, reached in enumerate((7, 19)):
        reach.note(
            [kept(offset, LOG_KEY, pack_log(LogMark("id", 3, reached, 4, 4))), kept(offset, b"ann", packed_state(5))]
        )
    assert (reach.epoch, reach.reached(None)) == (3, 19)
    assert reach.reached(12) == 19
    assert reach.reached(23) == 23, "events that changed nothing were behind it"


def test_a_changelog_without_a_mark_goes_as_far_as_its_last_fence_or_what_was_committed() -> None:
    reach = Reach()
    reach.note(
        [kept(0, b"ann", packed_state(41)), kept(1, b"bob", packed_state(7)), kept(2, LEDGER_PREFIX + b"ann", b"\1")]
    )
    assert (reach.epoch, reach.reached(None), reach.reached(60)) == (0, 42, 60)
    assert Reach().reached(None) == 0
    reach.note([kept(3, b"eve", packed_state(2 * EPOCH_OFFSETS + 4))])
    assert reach.epoch == 2


def test_the_place_behind_the_last_events_is_found_in_a_copy_whatever_its_offsets() -> None:
    copy = [record._replace(offset=record.offset * 2 + 5) for record in EVENTS[3:]]
    for reached in (36, 45, 60):
        found = behind(where_of(EVENTS[:reached]), [copy[:20], copy[20:]], "here")
        assert found == (reached - 1) * 2 + 6


def test_a_place_that_is_not_there_or_there_twice_is_told_and_not_guessed() -> None:
    with pytest.raises(InputFileError, match=r"are not in this copy.*--positions"):
        behind(where_of(EVENTS[:50]), [EVENTS[:49]], "here")
    with pytest.raises(InputFileError, match="more than once"):
        behind(where_of(EVENTS[:1]), [EVENTS], "here")

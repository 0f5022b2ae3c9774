"""What is known of records that were sent again: what workers have committed, what came back."""

from __future__ import annotations

import pytest

from stream.dead_letters import returned
from stream.dead_letters.returned import Returned, SentRecords, wait_for_returned
from stream.dead_letters.writer import Landed
from stream.settings import Settings

EVENTS = "interest.events"


def sent(*landed):
    records = SentRecords()
    for each in landed:
        records.add(Landed(*each))
    return records


def test_it_knows_where_they_landed() -> None:
    records = sent((EVENTS, 0, 5), (EVENTS, 1, 7), ("interest.items", 0, 1))
    assert len(records) == 3
    assert (EVENTS, 0, 5) in records
    assert (EVENTS, 0, 7) not in records
    assert (records.unread(EVENTS, {}), records.unread(EVENTS, {0: 6, 1: 7}), records.of_others(EVENTS)) == (2, 1, 1)


@pytest.mark.parametrize(
    ("records", "committed", "came_back", "asked", "finds"),
    [
        (sent((EVENTS, 0, 5)), [{}, {0: 5}, {0: 7}], [0, 0, 1], 3, Returned(1, 0, 0)),
        (sent((EVENTS, 0, 5)), [{}] * 9, [0] * 9, 5, Returned(0, 1, 0)),
        (sent(("interest.items", 0, 5)), [{}] * 9, [0, 0, 1], 3, Returned(1, 0, 1)),
        (sent(("interest.items", 0, 5)), [{}] * 9, [0] * 9, 5, Returned(0, 0, 1)),
    ],
    ids=["committed", "no worker", "all came back", "nobody tells"],
)
def test_it_waits_until_it_knows_or_the_time_is_up(monkeypatch, records, committed, came_back, asked, finds) -> None:
    now, looks = [0.0], [0]

    def letters_of(*_):
        looks[0] += 1
        return came_back[looks[0] - 1]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(returned, "_committed", lambda _: committed[looks[0]])
    monkeypatch.setattr(returned, "_letters_of", letters_of)
    found = wait_for_returned(Settings(), records, {}, 2.0, check=lambda: None, clock=lambda: now[0], sleep=sleep)
    assert (found, looks[0]) == (finds, asked)

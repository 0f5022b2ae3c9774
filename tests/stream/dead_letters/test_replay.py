"""Each record is sent once, in parts; one that is refused costs itself alone."""

from __future__ import annotations

from collections import Counter

import pytest
from dead_letters import FakeWriter, letter
from hypothesis import given
from hypothesis import strategies as st

from stream.dead_letters.replay import (
    BATCH_MAX_RECORDS,
    EXAMPLES_MAX,
    NO_TIMESTAMP,
    SENT_BEFORE,
    Chooser,
    Pacer,
    ReplayReport,
    replay,
)
from stream.dead_letters.selection import Selection

TOPICS = {"interest.events", "interest.items"}


def sent_again(letters, writer, chooser=None, **options):
    report = ReplayReport()
    chooser = chooser or Chooser(Selection(), set(), TOPICS, "original")
    replay(letters, chooser, writer, report, **{"pacer": Pacer(None)} | options)
    return report


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=120))
def test_all_that_are_not_refused_are_sent_once_in_order(given) -> None:
    bad = {n for n, is_bad in given if is_bad}
    letters = [letter(n) for n, _ in given]  # some about one record
    writer = FakeWriter(lambda each: each.source.offset in bad)

    report = sent_again(letters, writer)

    good = list(dict.fromkeys(n for n, _ in given if n not in bad))
    assert [each.source.offset for each in writer.sent] == good
    assert report.sent.total() == len(good)
    assert report.done == len(letters)
    assert (report.refused > 0) == bool(bad)
    assert len(report.examples) == min(report.refused, EXAMPLES_MAX)


def test_what_was_sent_before_is_passed_over() -> None:
    letters = [letter(n) for n in range(5)]
    first, second = FakeWriter(), FakeWriter()
    sent_again(letters, first)
    chooser = Chooser(Selection(), {each.identity for each in first.sent[:3]}, TOPICS, "original")

    report = sent_again(letters, second, chooser)

    assert [each.source.offset for each in second.sent] == [3, 4]
    assert report.passed == {SENT_BEFORE: 3}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (letter(-1, reason="quarantined"), "it is about a user and no record"),
        (
            letter(1, topic="interest.dead-letter"),
            "interest.dead-letter is no topic that Penchant reads, or does not exist",
        ),
        (letter(1, timestamp=0), NO_TIMESTAMP),
        (letter(1, timestamp=-1), NO_TIMESTAMP),
    ],
)
def test_what_cannot_be_sent_is_passed_over_with_its_reason(made, why) -> None:
    writer = FakeWriter()
    assert sent_again([made, letter(9)], writer).passed == Counter([why])
    assert [each.source.offset for each in writer.sent] == [9]


def test_with_the_time_now_a_record_without_a_timestamp_is_sent() -> None:
    writer = FakeWriter()
    sent_again([letter(1, timestamp=-1)], writer, Chooser(Selection(), set(), TOPICS, "now"))
    assert len(writer.sent) == 1


def test_what_is_outdated_is_passed_over_and_what_is_not_selected_is_not_even_counted() -> None:
    chooser = Chooser(
        Selection(keys=frozenset({b"ann"})), set(), TOPICS, "original", lambda each: each.source.offset == 1
    )
    report = sent_again([letter(1), letter(2), letter(3, key=b"bob")], FakeWriter(), chooser)
    assert report.passed == {"a newer record of its key is there": 1}
    assert report.done == 2


def test_without_a_writer_it_is_only_counted() -> None:
    assert sent_again([letter(1), letter(2, topic="interest.items")], None).sent == {
        "interest.events": 1,
        "interest.items": 1,
    }


def test_parts_are_bounded_by_records_and_by_bytes() -> None:
    writer = FakeWriter()
    sent_again([letter(n) for n in range(BATCH_MAX_RECORDS + 1)], writer)
    assert [len(part) for part in writer.parts] == [BATCH_MAX_RECORDS, 1]

    writer = FakeWriter()
    sent_again([letter(n, value=b"x" * (5 << 20)) for n in range(3)], writer)
    assert [len(part) for part in writer.parts] == [1, 1, 1]


def test_a_rate_is_kept_whatever_a_part_takes() -> None:
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    writer = FakeWriter()
    pacer = Pacer(20, lambda: now[0], sleep)
    sent_again([letter(n) for n in range(100)], writer, pacer=pacer)
    assert {len(part) for part in writer.parts} == {2}
    assert now[0] == pytest.approx(105.0)
    assert max(slept) <= 0.2


def test_who_wants_it_to_end_is_asked_between_parts_and_what_was_sent_is_known() -> None:
    writer, report = FakeWriter(), ReplayReport()

    def check():
        if len(writer.parts) == 2:
            raise KeyboardInterrupt

    chooser = Chooser(Selection(), set(), TOPICS, "original")
    with pytest.raises(KeyboardInterrupt):
        replay([letter(n) for n in range(2000)], chooser, writer, report, pacer=Pacer(None), check=check)
    assert report.sent.total() == len(writer.sent) == 2 * BATCH_MAX_RECORDS

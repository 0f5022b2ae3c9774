"""What was sent again is told on the topic, and read back; anything else there marks nothing."""

from __future__ import annotations

import json

import pytest
from dead_letters import Message, letter, letter_headers

from stream.dead_letters.letter import letter_of
from stream.dead_letters.marks import MARK_HEADERS, mark_value, marked_in, marks_for


def test_a_mark_a_partition_names_its_letters_and_is_no_letter() -> None:
    letters = [letter(1, partition=1), letter(2), letter(3, partition=1)]
    marks = marks_for(letters)
    assert [each.partition for each in marks] == [0, 1]
    for mark in marks:
        record = Message(mark.partition, 9, None, mark_value(mark), headers=list(MARK_HEADERS))
        assert letter_of(record) is None
        assert marked_in(record) == [each.identity for each in letters if each.place.partition == mark.partition]


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        (None, b"{}"),
        (letter_headers(), b'{"letters":["00000000000000000000000000000000"]}'),
        ([("kind", b"replayed"), ("schema_version", b"2")], b'{"letters":["00000000000000000000000000000000"]}'),
        (list(MARK_HEADERS), None),
        (list(MARK_HEADERS), b"\xff"),
        (list(MARK_HEADERS), b"[]"),
        (list(MARK_HEADERS), b'{"letters":3}'),
        (list(MARK_HEADERS), b'{"letters":["xy"]}'),
        (list(MARK_HEADERS), json.dumps({"letters": ["00"]}).encode()),
    ],
)
def test_what_is_no_mark_marks_nothing(headers, value) -> None:
    assert list(marked_in(Message(value=value, headers=headers))) == []

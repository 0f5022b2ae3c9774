"""Letters and notes are read apart; where nothing lies, that is said."""

from __future__ import annotations

import pytest
from dead_letters import letter, letter_headers, produce_letters

from stream.dead_letters.letter import Place
from stream.dead_letters.marks import MARK_HEADERS, mark_value, marks_for
from stream.dead_letters.selection import Selection
from stream.dead_letters.topic import letter_at, log_spans, read_letters, survey
from stream.errors import UsageError
from stream.settings import Settings

LETTERS = "interest.dead-letter"


@pytest.fixture
def settings(embedded):
    broker = embedded({LETTERS: 1})
    (mark,) = marks_for([letter(0)])
    produce_letters(
        broker.bootstrap_servers,
        LETTERS,
        [
            (b"ann", b"{}", letter_headers(0)),
            (None, mark_value(mark), list(MARK_HEADERS)),
            (b"bob", b"[]", letter_headers(1, "empty")),
        ],
    )
    return Settings(bootstrap_servers=broker.bootstrap_servers)


@pytest.mark.parametrize("readable", [True, False])
def test_letters_and_what_was_sent_again(settings, readable) -> None:
    spans = log_spans(settings, readable=readable)
    assert spans == {0: (0, 3)}
    assert [each.place for each in read_letters(settings, spans)] == [Place(0, 0), Place(0, 2)]
    found = survey(settings, spans, Selection(reasons=frozenset({"empty"})))
    assert found == ({letter(0).identity}, 1)


def test_one_letter(settings) -> None:
    assert letter_at(settings, Place(0, 2)).key == b"bob"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (Place(0, 1), "0:1 of interest.dead-letter is no dead letter"),
        (Place(0, 3), "no offset 3"),
        (Place(1, 0), "no partition 1"),
    ],
)
def test_where_none_lies_that_is_said(settings, place, says) -> None:
    with pytest.raises(UsageError, match=says):
        letter_at(settings, place)

"""A letter is read from whatever lies on the topic; the same record has one identity, however often it was told of."""

from __future__ import annotations

import pytest
from dead_letters import NOW_MS, Message, letter, letter_headers
from hypothesis import given
from hypothesis import strategies as st

from stream.dead_letters.letter import Source, letter_of, text_of, why_no_record
from stream.wire.decode import Rejected
from stream.worker.dead_letters import DeadLetters, Origin


def test_what_the_worker_says_of_it_is_read() -> None:
    found = letter(17, partition=2, key=b"k", value=b"\xff")
    assert (found.key, found.value, found.reason, found.detail) == (b"k", b"\xff", "schema", "because")
    assert str(found.place) == "2:17"
    assert found.source == Source("interest.events", 0, 17, NOW_MS)
    assert (found.n_bytes, found.headers, found.headers_left_out) == (1, (), 0)


class Sent:
    """The producer of a worker."""

    def send(self, topic, key, value, partition=-1, headers=None, instead=None):
        self.message = Message(0, 5, key, value, NOW_MS, list(headers))


header_names = st.text(max_size=8) | st.sampled_from(["reason", "topic", "header.x", "header.", "whole_bytes", "kind"])
producers_headers = st.lists(st.tuples(header_names, st.none() | st.binary(max_size=8)), max_size=6)


@given(producers_headers)
def test_the_producers_headers_come_back_as_they_were_and_are_never_taken_for_the_worker_s(headers) -> None:
    from stream.metrics import Metrics  # noqa: PLC0415  (heavy)
    from stream.settings import Settings  # noqa: PLC0415

    sent = Sent()
    DeadLetters(Settings(), Metrics(), sent).send(b"k", b"v", Origin("t", 1, 2, 3), Rejected("schema", "d"), headers)

    found = letter_of(sent.message)

    assert found is not None
    assert found.headers == tuple(each for each in headers if not each[0].startswith("penchant-"))
    assert (found.reason, found.source, found.whole_bytes) == ("schema", Source("t", 1, 2, 3), None)


def test_a_record_without_a_reason_is_no_letter() -> None:
    assert letter_of(Message(headers=None)) is None
    assert letter_of(Message(headers=[("kind", b"replayed")])) is None


def test_headers_that_are_no_numbers_are_an_unknown_record() -> None:
    headers = [("reason", None), ("topic", b"\xff"), ("offset", b"x"), ("timestamp", b"9" * 40), ("partition", b"-7")]
    found = letter_of(Message(headers=headers))
    assert found is not None
    assert found.source == Source("\ufffd", -1, -1, -1)
    assert why_no_record(found) == "it does not say which record it is"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (letter(1), None),
        (letter(1, reason="empty", value=None), None),
        (letter(1, reason="too_large"), None),
        (letter(-1, reason="quarantined"), "it is about a user and no record"),
        (letter(1, whole_bytes=99), "only its beginning was kept"),
        (letter(1, reason="too_large", value=None), "it stands for a batch that could not be unpacked"),
    ],
)
def test_why_there_is_nothing_to_send_again(made, says) -> None:
    assert why_no_record(made) == says


def test_two_letters_about_one_record_are_one_and_all_others_are_not() -> None:
    one = letter(1)
    assert (
        one.identity == letter_of(Message(3, 99, b"ann", b"{}", NOW_MS, letter_headers(1, reason="not_json"))).identity
    )  # type: ignore[union-attr]
    others = [
        letter(2),
        letter(1, key=None),
        letter(1, key=b""),
        letter(1, value=None),
        letter(1, value=b""),
        letter(1, key=b"ann{", value=b"}"),
        letter(1, topic="interest.items"),
        letter(1, timestamp=1),
    ]
    assert len({each.identity for each in [one, *others]}) == 1 + len(others)


def test_what_is_no_utf_8_is_escaped() -> None:
    assert text_of(b"a\xff\xe2\x82\xac") == "a\\xff€"

"""A dead letter always finds room: as a whole, or as its beginning with what the whole can be known by."""

from __future__ import annotations

from hashlib import sha256

import pytest
from kafka_records import Record

from stream.metrics import Metrics
from stream.refresh.quarantine import Quarantined
from stream.settings import Settings
from stream.wire.decode import Rejected
from stream.worker.dead_letters import BEGINNING_BYTES, HEADERS_MAX_BYTES, KEY_MAX_BYTES, DeadLetters


class Producer:
    def __init__(self):
        self.sent = []

    def send(self, topic, key, value, partition=-1, headers=None, instead=None):
        self.sent.append((key, value, dict(headers), instead))


@pytest.fixture
def letters(tmp_path):
    producer, metrics = Producer(), Metrics()
    made = DeadLetters(Settings(data_dir=tmp_path, fetch_max_bytes=1 << 20), metrics, producer)
    return made, producer, metrics


def refuse(letters, key, value):
    letters[0].refused(Record(17, key, value), Rejected("too_large", "too many bytes"))
    ((key, value, headers, instead),) = letters[1].sent
    return key, value, headers, instead


def test_a_small_one_is_its_record(letters):
    key, value, headers, instead = refuse(letters, b"ann", b"x")
    assert (key, value, instead) == (b"ann", b"x", None)
    assert headers["offset"] == b"17"
    assert "whole_bytes" not in headers


def test_one_without_key_and_value_is_one(letters):
    assert refuse(letters, None, None)[:2] == (None, None)


def test_a_large_one_goes_as_a_whole_and_has_a_beginning_should_the_topic_not_take_it(letters):
    whole = bytes(range(256)) * 2000
    _, value, headers, instead = refuse(letters, b"ann", whole)
    assert value == whole
    assert "whole_bytes" not in headers
    assert instead.value == whole[:BEGINNING_BYTES]
    assert dict(instead.headers)["whole_sha256"] == sha256(whole).hexdigest().encode()


@pytest.mark.parametrize(("key", "size"), [(b"ann", 20 << 20), (b"k" * (2 << 20), 10)])
def test_one_that_our_own_client_would_refuse_is_its_beginning(letters, key, size):
    whole = b"y" * size
    kept, value, headers, _ = refuse(letters, key, whole)
    assert len(value) == min(size, BEGINNING_BYTES)
    assert len(kept) == min(len(key), KEY_MAX_BYTES)
    assert headers["whole_bytes"] == str(size).encode()
    assert headers["reason"] == b"too_large"


def test_a_quarantined_user_is_told_of_under_their_id(letters):
    letters[0].quarantined(3, Quarantined(b"ann", "state", "unreadable", b"\x09"))
    ((key, value, headers, _),) = letters[1].sent
    assert (key, value) == (b"ann", b"\x09")
    assert (headers["reason"], headers["detail"], headers["partition"]) == (b"quarantined", b"state: unreadable", b"3")


def refused_with(letters, headers):
    letters[0].refused(Record(17, b"ann", b"x", headers=headers), Rejected("schema", "why"))
    ((_, _, sent, _),) = letters[1].sent
    return sent


def test_the_producers_headers_go_along_under_names_that_are_none_of_ours(letters):
    given = (("trace", b"t"), ("reason", b"mine"), ("nothing", None), ("penchant-rekeyed", b"0-1"))
    sent = refused_with(letters, given)
    assert sent["reason"] == b"schema"
    assert {name: value for name, value in sent.items() if name.startswith("header.")} == {
        "header.trace": b"t",
        "header.reason": b"mine",
        "header.nothing": None,
    }
    assert "headers_left_out" not in sent


@pytest.mark.parametrize("headers", [(("large", b"x" * HEADERS_MAX_BYTES),), (("n", b""),) * 2000])
def test_headers_that_are_too_large_are_left_out_and_counted(letters, headers):
    sent = refused_with(letters, headers)
    assert not any(name.startswith("header.") for name in sent)
    assert sent["headers_left_out"] == str(len(headers)).encode()


def test_a_beginning_has_the_producers_headers_too(letters):
    letters[0].refused(Record(17, b"ann", b"y" * (1 << 17), headers=(("trace", b"t"),)), Rejected("schema", "why"))
    ((_, _, _, instead),) = letters[1].sent
    assert ("header.trace", b"t") in instead.headers

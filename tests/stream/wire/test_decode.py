"""Bytes -> Event or Rejected: every reason, every documented acceptance, and never an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.hashing import NO_ITEM, item_hash
from models.vocabulary import ACTIONS
from stream.wire.decode import (
    MAX_DETAIL_CHARACTERS,
    REASONS,
    DecodedEvent,
    DecodedItem,
    DecodeLimits,
    Rejected,
    decode_event,
    decode_item,
)
from stream.wire.mending import INT64_MAX, INT64_MIN
from stream.wire.records import Event, Item, encode, event_decoder, item_decoder
from stream.wire.times import PUBLISHED_MAX_MS, PUBLISHED_MIN_MS, parse_time_ms

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
LIMITS = DecodeLimits(message_max_bytes=1_000_000, earliest_ms=631_152_000_000, max_ahead_ms=86_400_000)
FIXED = settings(derandomize=True, deadline=None)
"""The same examples on every run, however busy the machine is."""
EVENT: dict[str, Any] = {"user_id": "u", "action": "view", "item_id": "i"}
ITEM: dict[str, Any] = {"item_id": "i", "title": "t"}


def event_bytes(**fields: Any) -> bytes:
    return json.dumps(EVENT | fields).encode()


def raw(fields: bytes) -> bytes:
    """A valid event followed by `fields`, which need not be JSON."""
    return b'{"user_id":"u","action":"view","item_id":"i",' + fields + b"}"


def decode(value: bytes | None, key: bytes | None = b"u") -> DecodedEvent | Rejected:
    return decode_event(key, value, NOW_MS, LIMITS)


def accepted(value: bytes, key: bytes | None = b"u") -> Event:
    decoded = decode(value, key)
    assert isinstance(decoded, DecodedEvent), decoded
    return decoded.event


REFUSED_EVENTS: dict[str, tuple[bytes | None, bytes | None, str]] = {
    # what is wrong: key, value, reason
    "null value": (b"u", None, "empty"),
    "no bytes": (b"u", b"", "empty"),
    "10 MB": (b"u", event_bytes(text="x" * 10_000_000), "too_large"),
    "one byte too many": (b"u", event_bytes().ljust(1_000_001), "too_large"),
    "only spaces": (b"u", b"   ", "not_json"),
    "not JSON": (b"u", b"user u viewed i", "not_json"),
    "cut short": (b"u", event_bytes()[:-1], "not_json"),
    "trailing garbage": (b"u", event_bytes() + b"x", "not_json"),
    "two records": (b"u", event_bytes() + event_bytes(), "not_json"),
    "byte order mark": (b"u", b"\xef\xbb\xbf" + event_bytes(), "not_json"),
    "UTF-16": (b"u", event_bytes().decode().encode("utf-16"), "not_json"),
    "Latin-1 in an action": (b"u", b'{"user_id":"u","action":"\xe9","item_id":"i"}', "schema"),
    "lone high surrogate in user_id": (None, rb'{"user_id":"\ud800","action":"view","item_id":"i"}', "bad_id"),
    "lone high surrogate in item_id": (b"u", rb'{"user_id":"u","action":"view","item_id":"\ud800"}', "bad_id"),
    "Latin-1 in user_id": (None, b'{"user_id":"\xe9","action":"view","item_id":"i"}', "bad_id"),
    "deep nesting never closed": (b"u", raw(b'"z":' + b"[" * 400_000), "not_json"),
    "deep nesting closed": (b"u", raw(b'"z":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "not_json"),
    "a list": (b"u", b"[" + event_bytes() + b"]", "schema"),
    "a string": (b"u", b'"view"', "schema"),
    "JSON null": (b"u", b"null", "schema"),
    "no user_id": (b"u", b'{"action":"view","item_id":"i"}', "schema"),
    "null user_id": (b"u", event_bytes(user_id=None), "schema"),
    "user_id is a number": (b"1", event_bytes(user_id=1), "schema"),
    "no action": (b"u", b'{"user_id":"u","item_id":"i"}', "schema"),
    "null action": (b"u", event_bytes(action=None), "schema"),
    "unknown action": (b"u", event_bytes(action="stare"), "schema"),
    "action in capitals": (b"u", event_bytes(action="VIEW"), "schema"),
    "very long unknown action": (b"u", event_bytes(action="x" * 500_000), "schema"),
    "item_id is a number": (b"u", event_bytes(item_id=7), "schema"),
    "event_time is a bool": (b"u", event_bytes(event_time=True), "schema"),
    "event_time is a fraction": (b"u", event_bytes(event_time=1.5), "schema"),
    "event_time of 5,000 digits": (b"u", raw(b'"event_time":' + b"9" * 5000), "schema"),
    "no item_id": (b"u", b'{"user_id":"u","action":"click"}', "no_item"),
    "null item_id": (b"u", event_bytes(item_id=None), "no_item"),
    "empty user_id": (b"", event_bytes(user_id=""), "bad_id"),
    "empty item_id": (b"u", event_bytes(item_id=""), "bad_id"),
    "user_id of 129 bytes": (b"u" * 129, event_bytes(user_id="u" * 129), "bad_id"),
    "item_id of 129 bytes": (b"u", event_bytes(item_id="i" * 129), "bad_id"),
    "user_id of 43 characters, 129 bytes": ("用".encode() * 43, event_bytes(user_id="用" * 43), "bad_id"),
    "item_id of 33 characters, 129 bytes": (b"u", event_bytes(item_id="😀" * 32 + "i"), "bad_id"),
    "another key": (b"v", event_bytes(), "key_mismatch"),
    "empty key": (b"", event_bytes(), "key_mismatch"),
    "key in another encoding": (b"\xe9", event_bytes(user_id="é"), "key_mismatch"),
    "lone surrogate in event_time": (b"u", raw(rb'"event_time":"\ud800"'), "bad_time"),
    "lone surrogate in action": (b"u", rb'{"user_id":"u","action":"\ud800","item_id":"i"}', "schema"),
    "key with quotes": (b'"u"', event_bytes(), "key_mismatch"),
    "date only": (b"u", event_bytes(event_time="2026-01-01"), "bad_time"),
    "empty time": (b"u", event_bytes(event_time=""), "bad_time"),
    "digits as text": (b"u", event_bytes(event_time="1767225600000"), "bad_time"),
    "very long time": (b"u", event_bytes(event_time="2" * 500_000), "bad_time"),
    "1970": (b"u", event_bytes(event_time="1970-01-01T00:00:00Z"), "time_out_of_bounds"),
    "seconds for milliseconds": (b"u", event_bytes(event_time=NOW_MS // 1000), "time_out_of_bounds"),
    "3000": (b"u", event_bytes(event_time="3000-01-01T00:00:00Z"), "time_out_of_bounds"),
    "year 1": (b"u", event_bytes(event_time="0001-01-01T00:00:00+23:00"), "time_out_of_bounds"),
    "negative time": (b"u", event_bytes(event_time=-1), "time_out_of_bounds"),
    "time 2**70": (b"u", event_bytes(event_time=2**70), "time_out_of_bounds"),
    "time of 4,000 digits": (b"u", raw(b'"event_time":' + b"9" * 4000), "time_out_of_bounds"),
    "1 ms before the earliest": (b"u", event_bytes(event_time=LIMITS.earliest_ms - 1), "time_out_of_bounds"),
    "1 ms too far ahead": (b"u", event_bytes(event_time=NOW_MS + LIMITS.max_ahead_ms + 1), "time_out_of_bounds"),
}

REFUSED_ITEMS: dict[str, tuple[bytes | None, bytes, str]] = {
    "no bytes": (b"i", b"", "empty"),
    "too large": (b"i", json.dumps(ITEM | {"description": "x" * 1_000_000}).encode(), "too_large"),
    "not JSON": (b"i", b"item i", "not_json"),
    "deep nesting": (b"i", b'{"item_id":"i","title":"t","z":' + b"[" * 400_000, "not_json"),
    "lone surrogate in item_id": (b"i", rb'{"item_id":"\ud800","title":"shoe"}', "bad_id"),
    "available is text": (b"i", json.dumps(ITEM | {"available": "false"}).encode(), "schema"),
    "an envelope": (b"i", json.dumps({"schema": {}, "payload": ITEM}).encode(), "schema"),
    "no title": (b"i", b'{"item_id":"i"}', "schema"),
    "empty title": (b"i", json.dumps(ITEM | {"title": ""}).encode(), "schema"),
    "empty id": (b"", json.dumps(ITEM | {"item_id": ""}).encode(), "bad_id"),
    "id of 129 bytes": ("用".encode() * 43, json.dumps(ITEM | {"item_id": "用" * 43}).encode(), "bad_id"),
    "no key": (None, json.dumps(ITEM).encode(), "key_mismatch"),
    "another key": (b"j", json.dumps(ITEM).encode(), "key_mismatch"),
}


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "value", "reason"), REFUSED_EVENTS.values(), ids=REFUSED_EVENTS.keys())
def test_a_bad_event_is_refused_with_its_reason(key: bytes | None, value: bytes | None, reason: str) -> None:
    rejected = decode(value, key)

    assert isinstance(rejected, Rejected), rejected
    assert reason == rejected.reason, rejected.detail
    assert 0 < len(rejected.detail.encode()) <= 4 * MAX_DETAIL_CHARACTERS
    assert len(rejected.detail) <= MAX_DETAIL_CHARACTERS


@pytest.mark.parametrize(("key", "value", "reason"), REFUSED_ITEMS.values(), ids=REFUSED_ITEMS.keys())
def test_a_bad_item_is_refused_with_its_reason(key: bytes | None, value: bytes, reason: str) -> None:
    rejected = decode_item(key, value, LIMITS)

    assert isinstance(rejected, Rejected), rejected
    assert reason == rejected.reason, rejected.detail
    assert 0 < len(rejected.detail) <= MAX_DETAIL_CHARACTERS


def test_the_list_of_reasons_is_exactly_what_can_happen() -> None:
    assert {reason for _, _, reason in REFUSED_EVENTS.values()} == set(REASONS)
    assert {reason for _, _, reason in REFUSED_ITEMS.values()} <= set(REASONS)
    assert len(REASONS) == len(set(REASONS))


def test_the_detail_names_the_field_even_when_what_it_holds_is_long() -> None:
    rejected = decode(event_bytes(action="x" * 500_000))

    assert isinstance(rejected, Rejected)
    assert rejected.detail.endswith("`$.action`")


# --- accepted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_accepted(action: str) -> None:
    assert action == accepted(event_bytes(action=action)).action


def test_a_query_needs_no_item() -> None:
    assert accepted(b'{"user_id":"u","action":"query","text":"boots"}').item_id is None


def test_a_record_without_a_key_is_accepted() -> None:
    assert accepted(event_bytes(), key=None).user_id == "u"


@pytest.mark.parametrize("user_id", ["u" * 128, "用" * 42 + "uu", "😀" * 32, "é" * 64, "\u0000", " ", "😀" + "u" * 124])
def test_an_id_of_up_to_128_bytes_is_accepted(user_id: str) -> None:
    event = accepted(event_bytes(user_id=user_id, item_id=user_id), key=user_id.encode())

    assert (user_id, user_id) == (event.user_id, event.item_id)


def test_a_pair_of_escaped_surrogates_is_one_character() -> None:
    assert accepted(raw(rb'"text":"\ud83d\ude00"')).text == "😀"


def test_unknown_fields_are_ignored_whatever_they_hold() -> None:
    assert accepted(raw(b'"later":[{"a":[1e999]}]')) == accepted(event_bytes())
    assert accepted(raw(b'"later":' + b"[" * 100 + b"]" * 100)) == accepted(event_bytes())


def test_of_a_repeated_field_the_last_one_counts() -> None:
    assert accepted(raw(b'"user_id":"v"'), key=b"v").user_id == "v"
    assert Rejected("key_mismatch", "the record's key differs from user_id") == decode(raw(b'"user_id":"v"'), key=b"u")


def test_null_is_the_same_as_missing_for_what_may_be_missing() -> None:
    optional = ("event_time", "dwell_ms", "value", "text", "context", "recommendation_id", "slot", "event_id")

    assert accepted(event_bytes(**dict.fromkeys(optional))) == accepted(event_bytes())


def test_spaces_around_the_record_are_accepted() -> None:
    assert accepted(b" \r\n\t" + event_bytes() + b"\n") == accepted(event_bytes())


def test_exactly_the_largest_message_is_accepted() -> None:
    assert accepted(event_bytes().ljust(LIMITS.message_max_bytes)) == accepted(event_bytes())


@pytest.mark.parametrize("field", ["slot", "dwell_ms"])
def test_whole_numbers_up_to_the_64th_bit_are_accepted(field: str) -> None:
    assert getattr(accepted(event_bytes(**{field: INT64_MAX})), field) == INT64_MAX
    assert accepted(event_bytes(slot=INT64_MIN)).slot == INT64_MIN


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"0", 0.0), (b"-1.5", -1.5), (b"1e12", 1e12), (b"-1e12", -1e12), (b"5e-324", 5e-324), (b"1e-999", 0.0)],
)
def test_any_number_up_to_a_million_millions_is_a_value(text: bytes, value: float) -> None:
    assert value == accepted(raw(b'"value":' + text)).value


@pytest.mark.parametrize("text", [b"1e308", b"-1e308", b"1.1e12", b"%d" % 2**70])
def test_a_larger_value_is_left_out(text: bytes) -> None:
    """Two purchases of 1e308 would add up to what no JSON can say."""
    decoded = decode(raw(b'"value":' + text))
    assert isinstance(decoded, DecodedEvent)
    assert (decoded.event.value, decoded.mended) == (None, ("value",))


def test_an_event_without_a_time_happened_when_kafka_says() -> None:
    decoded = decode(event_bytes())

    assert isinstance(decoded, DecodedEvent)
    assert decoded.event_time_ms == NOW_MS


@pytest.mark.parametrize("time_ms", [LIMITS.earliest_ms, NOW_MS, NOW_MS + LIMITS.max_ahead_ms])
def test_both_bounds_of_time_belong_to_it(time_ms: int) -> None:
    decoded = decode(event_bytes(event_time=time_ms))

    assert isinstance(decoded, DecodedEvent)
    assert time_ms == decoded.event_time_ms


def test_a_record_without_any_time_is_refused() -> None:
    rejected = decode_event(b"u", event_bytes(), -1, LIMITS)  # -1 is Kafka's "no timestamp"

    assert isinstance(rejected, Rejected)
    assert rejected.reason == "time_out_of_bounds"


def test_the_same_bytes_are_always_decided_alike() -> None:
    for key, value, _ in REFUSED_EVENTS.values():
        assert decode(value, key) == decode(value, key)


def test_an_item_is_accepted_with_its_key_only() -> None:
    item = decode_item(b"i", json.dumps(ITEM | {"published_at": NOW_MS, "price": 3}).encode(), LIMITS)

    assert DecodedItem(Item(item_id="i", title="t", published_at=NOW_MS, price=3.0), NOW_MS) == item


# --- odd optional fields ------------------------------------------------------------------------------------------------

ODD_FIELDS: dict[str, tuple[bytes, str, Any]] = {
    # what is odd: the field in JSON, its name, what is read
    "half an emoji": (rb'"text":"\ud83d shoe"', "text", "\ufffd shoe"),
    "the other half": (rb'"text":"\ude00"', "text", "\ufffd"),
    "halves in the wrong order": (rb'"text":"\udc00\ud800"', "text", "\ufffd\ufffd"),
    "an encoded half": (b'"text":"\xed\xa0\x80"', "text", "\ufffd\ufffd\ufffd"),
    "an emoji cut between its bytes": (b'"text":"tea \xf0\x9f"', "text", "tea \ufffd\ufffd"),
    "Latin-1": (b'"text":"caf\xe9"', "text", "caf\ufffd"),
    "text is a number": (b'"text":1984', "text", "1984"),
    "text is a list": (b'"text":["x"]', "text", None),
    "half an emoji in context": (rb'"context":{"device":"\udfff"}', "context", {"device": "\ufffd"}),
    "half an emoji in a key of context": (rb'"context":{"\udfff":"x"}', "context", {"\ufffd": "x"}),
    "context of numbers": (
        b'"context":{"device":1,"place":"home","scene":null}',
        "context",
        {"device": "1", "place": "home"},
    ),
    "context is a list": (b'"context":["phone"]', "context", None),
    "dwell with a fraction": (b'"dwell_ms":1234.5', "dwell_ms", 1234),
    "dwell below zero": (b'"dwell_ms":-1', "dwell_ms", None),
    "dwell as text": (b'"dwell_ms":"1234"', "dwell_ms", 1234),
    "dwell as text with a fraction": (b'"dwell_ms":" 1234.5 "', "dwell_ms", 1234),
    "dwell with a thousands separator": (b'"dwell_ms":"1_000"', "dwell_ms", None),
    "dwell in words": (b'"dwell_ms":"long"', "dwell_ms", None),
    "dwell is a bool": (b'"dwell_ms":true', "dwell_ms", None),
    "dwell beyond 64 bits": (b'"dwell_ms":%d' % 2**63, "dwell_ms", None),
    "dwell of 5,000 digits": (b'"dwell_ms":' + b"9" * 5000, "dwell_ms", None),
    "slot as text": (b'"slot":"3"', "slot", 3),
    "slot as a float": (b'"slot":3.0', "slot", 3),
    "slot with a fraction": (b'"slot":2.5', "slot", None),
    "slot is a bool": (b'"slot":false', "slot", None),
    "slot beyond 64 bits": (b'"slot":%d' % -(2**70), "slot", None),
    "slot of 5,000 digits": (b'"slot":-' + b"9" * 5000, "slot", None),
    "value as text": (b'"value":"9.99"', "value", 9.99),
    "value with a currency": (b'"value":"15.00 USD"', "value", None),
    "value is a bool": (b'"value":true', "value", None),
    "value NaN": (b'"value":NaN', "value", None),
    "value -Infinity": (b'"value":-Infinity', "value", None),
    "value 1e999": (b'"value":1e999', "value", None),
    "value of 400 digits": (b'"value":' + b"9" * 400, "value", None),
    "event_id is a number": (b'"event_id":77', "event_id", "77"),
    "event_id with half an emoji": (rb'"event_id":"\ud800"', "event_id", None),
    "recommendation_id with half an emoji": (rb'"recommendation_id":"\ud800"', "recommendation_id", None),
    "recommendation_id is an object": (b'"recommendation_id":{}', "recommendation_id", None),
    "unknown source": (b'"source":"gossip"', "source", "behaviour"),
    "source is a list": (b'"source":[]', "source", "behaviour"),
}


@pytest.mark.parametrize(("fields", "name", "expected"), ODD_FIELDS.values(), ids=ODD_FIELDS.keys())
def test_an_odd_optional_field_costs_at_most_that_field(fields: bytes, name: str, expected: Any) -> None:
    decoded = decode(raw(fields))

    assert isinstance(decoded, DecodedEvent), decoded
    assert expected == getattr(decoded.event, name)
    assert (name,) == decoded.mended
    assert (decoded.event.user_id, decoded.event.action, decoded.event.item_id) == ("u", "view", "i")
    check(decoded)


def test_an_id_that_a_query_can_do_without_costs_it_nothing() -> None:
    for item_id in (b'""', rb'"\ud800"', b"7"):
        decoded = decode(b'{"user_id":"u","action":"query","text":"tea","item_id":' + item_id + b"}")
        assert isinstance(decoded, DecodedEvent), decoded
        assert decoded.event.item_id is None
        assert decoded.mended == ("item_id",)


@pytest.mark.parametrize("field", ["user_id", "item_id"])
def test_half_a_character_in_an_id_is_told_as_what_it_is(field: str) -> None:
    rejected = decode(json.dumps(EVENT | {field: "\ud83d shoe"}).encode(), key=None)

    assert Rejected("bad_id", f"{field} holds half of a character: '\\ud83d shoe'") == rejected


def test_nothing_odd_is_nothing_mended() -> None:
    decoded = decode(json.dumps(FULL_EVENT).encode())

    assert isinstance(decoded, DecodedEvent)
    assert decoded.mended == ()


def test_null_is_no_oddity_even_where_the_schema_knows_none() -> None:
    decoded = decode(event_bytes(source=None))

    assert decoded == decode(event_bytes())
    item = decode_item(b"i", json.dumps(ITEM | {"categories": None, "available": None}).encode(), LIMITS)
    assert DecodedItem(Item("i", "t"), None) == item


ANYTHING = st.deferred(lambda: JSON_VALUES)


@settings(FIXED, max_examples=400)
@given(
    st.dictionaries(
        st.sampled_from(["dwell_ms", "value", "text", "source", "context", "recommendation_id", "slot", "event_id"])
        | st.text().filter(lambda name: name != "event_time"),
        ANYTHING,
        max_size=4,
    )
)
def test_no_optional_field_whatever_it_holds_costs_the_required_ones(odd: dict[str, Any]) -> None:
    decoded = decode(json.dumps(odd | EVENT).encode())

    assert isinstance(decoded, DecodedEvent), decoded
    assert (decoded.event.user_id, decoded.event.action, decoded.event.item_id) == ("u", "view", "i")
    assert set(decoded.mended) <= set(odd)
    check(decoded)


@settings(FIXED, max_examples=400)
@given(
    st.dictionaries(
        st.sampled_from(["categories", "description", "language", "media_text", "published_at", "price", "attributes"])
        | st.text(),
        ANYTHING,
        max_size=4,
    ),
    st.text(st.characters(), min_size=1),
)
def test_no_optional_field_of_an_item_whatever_it_holds_costs_the_item(odd: dict[str, Any], title: str) -> None:
    decoded = decode_item(b"i", json.dumps({**odd, "available": False} | ITEM | {"title": title}).encode(), LIMITS)

    assert isinstance(decoded, DecodedItem), decoded
    assert (decoded.item.item_id, decoded.item.available) == ("i", False)
    assert decoded.item.title.encode() == title.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    assert decoded.item == item_decoder.decode(encode(decoded.item))
    assert decoded.published_at_ms is None or PUBLISHED_MIN_MS <= decoded.published_at_ms <= PUBLISHED_MAX_MS


# --- Kafka timestamps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timestamp_ms", [-1, 0, NOW_MS // 1000, -(2**63)])
def test_a_kafka_timestamp_that_is_none_does_not_cost_an_event_that_has_a_time(timestamp_ms: int) -> None:
    decoded = decode_event(b"u", event_bytes(event_time=NOW_MS), timestamp_ms, LIMITS)

    assert isinstance(decoded, DecodedEvent), decoded
    assert decoded.event_time_ms == NOW_MS


# --- when an item was published -----------------------------------------------------------------------------------------


def ms(*date_: int) -> int:
    return round(datetime(*date_, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (1995, ms(1995, 1, 1)),
        ("1995", ms(1995, 1, 1)),
        ("1995.0", ms(1995, 1, 1)),
        (1995.0, ms(1995, 1, 1)),
        (20230101, ms(2023, 1, 1)),
        ("20230101", ms(2023, 1, 1)),
        ("2023-01-01", ms(2023, 1, 1)),
        ("2023-02", ms(2023, 2, 1)),
        ("2023-01-01T12:00:00", ms(2023, 1, 1, 12)),
        ("2023-01-01T12:00:00+02:00", ms(2023, 1, 1, 10)),
        (ms(2023, 1, 1) // 1000, ms(2023, 1, 1)),
        (ms(1950, 1, 1) // 1000, ms(1950, 1, 1)),
        (ms(2023, 1, 1), ms(2023, 1, 1)),
        (ms(1950, 1, 1), ms(1950, 1, 1)),
        (ms(1972, 5, 1), ms(1972, 5, 1)),
        (ms(2023, 1, 1) * 1000, ms(2023, 1, 1)),
        (ms(2023, 1, 1) * 1_000_000, ms(2023, 1, 1)),
    ],
)
def test_when_an_item_was_published_is_understood_as_catalogues_write_it(said: Any, expected: int) -> None:
    decoded = decode_item(b"i", json.dumps(ITEM | {"published_at": said}).encode(), LIMITS)

    assert isinstance(decoded, DecodedItem)
    assert expected == decoded.published_at_ms


@pytest.mark.parametrize("said", ["May 2026", "", 2**70, 0, -1, "20231301", 9 * 10**18, "9999-01-01", True, [2023]])
def test_a_published_at_that_is_no_time_costs_that_field_only(said: Any) -> None:
    decoded = decode_item(b"i", json.dumps(ITEM | {"published_at": said}).encode(), LIMITS)

    assert DecodedItem(Item("i", "t"), None, ("published_at",)) == decoded


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "after_ms"),
    [
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01t00:00:00z", 0),
        ("2026-01-01 00:00:00Z", 0),
        ("2026-01-01T00:00:00+00:00", 0),
        ("2026-01-01T00:00:00-00:00", 0),
        ("2026-01-01T02:00:00+02:00", 0),
        ("2026-01-01T02:00:00+0200", 0),
        ("2025-12-31T18:30:00-05:30", 0),
        ("2026-01-01T00:00:00.5Z", 500),
        ("2026-01-01T00:00:00.123Z", 123),
        ("2026-01-01T00:00:00.123456789+00:00", 123),
        ("2025-12-31T23:59:59.9996Z", 0),
        ("2025-12-31T23:59:60Z", 0),
        ("2025-12-31T23:59:60.25Z", 250),
        ("2026-01-01T01:59:60+02:00", 0),
        ("2024-02-29T00:00:00Z", -58_060_800_000),
    ],
)
def test_rfc_3339_with_an_offset_is_a_time(text: str, after_ms: int) -> None:
    assert NOW_MS + after_ms == parse_time_ms(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00Z ",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01T00:00:00+02",
        "2026-01-01T00:00:00+02:00:30",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T24:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "2026-001T00:00:00Z",
        "٢٠٢٦-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",
        ":60" * 10,
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    assert parse_time_ms(text) is None


@FIXED
@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)", fullmatch=True))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    parsed = parse_time_ms(text)

    assert parsed is None or INT64_MIN <= parsed <= INT64_MAX


# --- laws -------------------------------------------------------------------------------------------------------------


def check(decoded: DecodedEvent | Rejected) -> None:
    """What holds of anything that `decode_event` returns, and the rest of the worker relies on."""
    if isinstance(decoded, Rejected):
        assert decoded.reason in REASONS
        assert 0 < len(decoded.detail) <= MAX_DETAIL_CHARACTERS
        decoded.detail.encode()
        return
    event, time_ms, _ = decoded
    assert event == event_decoder.decode(encode(event))
    assert 1 <= len(event.user_id.encode()) <= 128
    assert event.item_id is not None or event.action == "query"
    if event.item_id is not None:
        assert 1 <= len(event.item_id.encode()) <= 128
        assert item_hash(event.item_id) != NO_ITEM
    assert LIMITS.earliest_ms <= time_ms <= NOW_MS + LIMITS.max_ahead_ms
    assert event.dwell_ms is None or 0 <= event.dwell_ms <= INT64_MAX
    assert event.slot is None or INT64_MIN <= event.slot <= INT64_MAX
    assert event.value is None or abs(event.value) < float("inf")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(st.characters(), max_size=150)  # st.characters includes lone surrogates
    | st.sampled_from(["", *ACTIONS, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "\ud800", "用" * 43]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)

FULL_EVENT: dict[str, Any] = EVENT | {
    "event_time": NOW_MS,
    "dwell_ms": 1,
    "value": 1.5,
    "text": "t",
    "source": "social",
    "context": {"device": "phone"},
    "recommendation_id": "r",
    "slot": 1,
    "event_id": "e",
}


PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "user_id": st.just("u") | st.text(min_size=1, max_size=140),
    "item_id": st.text(min_size=1, max_size=140),
    "action": st.sampled_from(ACTIONS),
    "event_time": st.integers(LIMITS.earliest_ms - 1, NOW_MS + LIMITS.max_ahead_ms + 1)
    | st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()),
    "dwell_ms": st.integers(0, 2**64),
    "value": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**1030), 2**1030),
    "text": st.text(),
    "source": st.sampled_from(["behaviour", "social", "query", "media"]),
    "context": st.dictionaries(st.text(), st.text(), max_size=3),
    "recommendation_id": st.text(),
    "slot": st.integers(-(2**64), 2**64),
    "event_id": st.text(),
}


@st.composite
def mutated_events(draw: st.DrawFn) -> bytes:
    """A valid event with fields replaced or removed, sometimes with bytes overwritten or its end cut off."""
    fields = dict(FULL_EVENT)
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)):
        change = draw(st.sampled_from(["plausible", "any", "removed"]))
        if change == "removed":
            del fields[name]
        else:
            fields[name] = draw(PLAUSIBLE[name] if change == "plausible" else JSON_VALUES)
    value = bytearray(json.dumps(fields, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass"))
    damage = draw(st.sampled_from(["none", "none", "none", "bytes", "cut"]))
    if damage == "bytes":
        for _ in range(draw(st.integers(1, 2))):
            value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(0, len(value)))] if damage == "cut" else value)


@FIXED
@given(key=st.none() | st.binary(max_size=8), value=st.none() | st.binary(max_size=300))
@example(key=None, value=b"[" * 100_000)
@example(key=b"\xff", value=event_bytes())
def test_arbitrary_bytes_are_decided_and_never_raise(key: bytes | None, value: bytes | None) -> None:
    check(decode(value, key))


@settings(FIXED, max_examples=400)
@given(value=mutated_events(), with_key=st.booleans())
def test_a_mutated_event_is_decided_and_never_raises(value: bytes, with_key: bool) -> None:
    check(decode(value, b"u" if with_key else None))


@FIXED
@given(value=mutated_events(), item=JSON_VALUES)
def test_a_mutated_item_is_decided_and_never_raises(value: bytes, item: Any) -> None:
    for each in (
        value,
        json.dumps(ITEM | {"published_at": item}).encode(),
        json.dumps(ITEM | {"title": item}).encode(),
    ):
        decoded = decode_item(b"i", each, LIMITS)
        if isinstance(decoded, Rejected):
            assert decoded.reason in REASONS
        else:
            assert item_hash(decoded.item.item_id) != NO_ITEM
            encode(decoded.item)

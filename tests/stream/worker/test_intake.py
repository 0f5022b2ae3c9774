"""A chunk of records -> columns; whatever is between the good ones, exactly they arrive, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka_records import NOW_MS, Record, event_record, garbage_values

from models.hashing import item_hash, query_hash
from models.items.names import ItemNames
from models.vocabulary import ACTIONS
from stream.state.record import dwell_code
from stream.wire.codes import context_bucket, event_id_hash, list_id_of
from stream.wire.decode import NO_TIMESTAMP_MS, TIME_MAX_MS, DecodeLimits
from stream.worker.intake import read_chunk

LIMITS = DecodeLimits(message_max_bytes=1_000_000, earliest_ms=631_152_000_000, max_ahead_ms=86_400_000)
FIXED = settings(derandomize=True, deadline=None)


def read(*records):
    return read_chunk(list(records), LIMITS, ItemNames())


def test_every_field_of_an_event_arrives_in_its_column():
    names = ItemNames()
    full = event_record(
        7, "ü", action="purchase", item_id="tea", event_time=NOW_MS - 5, dwell_ms=1234, event_id="e1", slot=3,
        context={"device": "phone"}, timestamp=NOW_MS + 9,
    )  # fmt: skip
    intake = read_chunk([full], LIMITS, names)
    columns = intake.columns
    assert intake.keys == ["ü".encode()]
    assert [column.tolist() for column in columns] == [
        [0],
        [7],
        [NOW_MS - 5],
        [item_hash("tea")],
        [ACTIONS.index("purchase")],
        [context_bucket({"device": "phone"})],
        dwell_code(np.array([1234])).tolist(),
        [event_id_hash("e1")],
        [3],
    ]
    assert intake.timestamp_ms.tolist() == [NOW_MS + 9]
    assert intake.actions == {"purchase": 1}
    assert names.id_of(item_hash("tea")) == "tea"


def test_what_an_event_does_not_say_is_zero_and_its_time_is_the_records():
    columns = read(event_record(1)).columns
    assert columns.time_ms.tolist() == [NOW_MS]
    assert [c.tolist() for c in (columns.context, columns.dwell, columns.event_id, columns.slot)] == [[0]] * 4


def test_an_empty_chunk_has_empty_columns_of_the_right_types():
    intake = read()
    full = read(event_record(1))
    assert (intake.keys, intake.refused, intake.keyless) == ([], [], [])
    assert [(len(c), c.dtype) for c in intake.columns] == [(0, c.dtype) for c in full.columns]


def test_a_bad_record_costs_no_other_and_keeps_its_bytes_and_reason():
    bad = Record(2, b"u", b"\xff garbage")
    intake = read(event_record(1), bad, event_record(3))
    assert intake.columns.offset.tolist() == [1, 3]
    assert [(refused.record, refused.why.reason) for refused in intake.refused] == [(bad, "not_json")]


def test_unknown_fields_are_ignored():
    intake = read(event_record(1, colour="red", nested={"a": [1, {"b": None}]}))
    assert intake.columns.offset.tolist() == [1]


def test_an_event_without_a_key_is_set_apart_with_its_event():
    record = event_record(1, "u", key=None, action="click")
    intake = read(record, event_record(2))
    assert [(kept, event.user_id, event.action) for kept, event in intake.keyless] == [(record, "u", "click")]
    assert intake.columns.offset.tolist() == [2]
    assert intake.actions == {"view": 1}


def test_a_query_is_hashed_from_its_text_and_never_meets_an_item():
    names = ItemNames()
    query = event_record(1, action="query", item_id=None, text="tea")
    wordless = event_record(2, action="query", item_id=None)
    intake = read_chunk([query, wordless], LIMITS, names)
    assert intake.columns.item.tolist() == [query_hash("tea"), query_hash("")]
    assert names.id_of(query_hash("tea")) is None
    assert query_hash("tea") != item_hash("tea")


@pytest.mark.parametrize(("slot", "stored"), [(-1, 0), (-(2**63), 0), (255, 255), (256, 255), (2**63 - 1, 255)])
def test_a_slot_out_of_range_is_kept_at_the_nearest_one(slot, stored):
    assert read(event_record(1, slot=slot)).columns.slot.tolist() == [stored]


def test_the_longest_dwell_time_fits():
    assert read(event_record(1, dwell_ms=2**63 - 1)).columns.dwell.tolist() == [255]


def test_what_is_odd_in_optional_fields_is_mended_in_every_column():
    value = b"""{"user_id":"u","action":"purchase","item_id":"tea","event_time":%d,"dwell_ms":1234.5,"slot":"3",
        "value":"-9.5","text":"\\ud83d","context":{"device":"phone","scene":1},"event_id":77,"recommendation_id":"r1",
        "source":"x"}""" % (NOW_MS - 5)
    intake = read(event_record(1), Record(2, b"u", value), event_record(3, action="query", item_id="", text="tea"))
    columns = intake.columns
    assert intake.refused == []
    assert [column.tolist()[1] for column in columns] == [
        0,
        2,
        NOW_MS - 5,
        item_hash("tea"),
        ACTIONS.index("refund"),
        context_bucket({"device": "phone", "scene": "1"}),
        *dwell_code(np.array([1234])).tolist(),
        event_id_hash("77"),
        3,
    ]
    assert intake.referrals.value.tolist()[1] == -9.5
    assert tuple(intake.referrals.list_id.tolist()[1]) == list_id_of("r1")
    assert intake.queries == [(b"u", "tea")]
    assert columns.item.tolist()[2] == query_hash("tea")
    assert intake.mended == dict.fromkeys(
        ("dwell_ms", "slot", "value", "text", "context", "event_id", "source", "item_id"), 1
    )


@pytest.mark.parametrize("timestamp", [-1, 0, NOW_MS // 1000])
def test_a_kafka_timestamp_that_is_none_is_told_as_none_and_costs_no_event_that_has_a_time(timestamp):
    intake = read(
        event_record(1, timestamp=timestamp, event_time=NOW_MS), event_record(2), event_record(3, timestamp=timestamp)
    )
    assert intake.columns.offset.tolist() == [1, 2]
    assert intake.columns.time_ms.tolist() == [NOW_MS, NOW_MS]
    assert intake.timestamp_ms.tolist() == [NO_TIMESTAMP_MS, NOW_MS]
    assert [refused.why.reason for refused in intake.refused] == ["time_out_of_bounds"]


@pytest.mark.parametrize("timestamp", [2**63 - 1, TIME_MAX_MS + 1, 999, 0, -1, -(2**63)])
@pytest.mark.parametrize("fields", [{}, {"event_time": 2**63 + 10}, {"event_time": 2**63 - 1}])
def test_no_time_that_state_cannot_hold_gets_through_whatever_the_kafka_timestamp_says(timestamp, fields):
    anything = LIMITS._replace(earliest_ms=-(2**63))
    intake = read_chunk([event_record(1, timestamp=timestamp, **fields), event_record(2)], anything, ItemNames())
    assert intake.columns.offset.tolist() == [2]
    assert [refused.why.reason for refused in intake.refused] == ["time_out_of_bounds"]


def test_the_first_and_last_times_that_state_can_hold_get_through():
    anything = LIMITS._replace(earliest_ms=0)
    records = [event_record(1, timestamp=TIME_MAX_MS), event_record(2, event_time=1000)]
    assert read_chunk(records, anything, ItemNames()).columns.time_ms.tolist() == [TIME_MAX_MS, 1000]


def test_context_buckets_and_event_id_hashes_stay_in_their_bits():
    buckets = {context_bucket({"device": str(n), "place": "x"}) for n in range(200)}
    assert buckets == set(range(1, 8))
    assert context_bucket({"mood": "any"}) == context_bucket({"other": "thing"})
    assert all(0 < event_id_hash(str(n)) < 2**24 for n in range(1000))


good = st.fixed_dictionaries(
    {"action": st.sampled_from([a for a in ACTIONS if a != "query"]), "item_id": st.text(min_size=1, max_size=20)},
    optional={
        "dwell_ms": st.integers(0, 2**63 - 1),
        "slot": st.integers(-(2**63), 2**63 - 1),
        "value": st.floats(allow_nan=False, allow_infinity=False),
        "text": st.text(max_size=20),
        "context": st.dictionaries(st.sampled_from(["device", "place", "scene", "mood"]), st.text(max_size=5)),
        "event_id": st.text(max_size=10),
        "event_time": st.integers(NOW_MS - 10**10, NOW_MS),
    },
)
encodable = st.characters(exclude_categories=["Cs"])
records = st.lists(
    st.tuples(st.just("good"), st.text(encodable, min_size=1, max_size=20), good)
    | st.tuples(st.just("keyless"), st.text(encodable, min_size=1, max_size=20), good)
    | st.tuples(st.just("bad"), st.sampled_from([b"u", None]), garbage_values),
    max_size=25,
)


@FIXED
@given(records)
def test_of_garbage_and_good_events_exactly_the_good_ones_arrive_in_order(made):
    chunk = []
    for offset, (kind, who, what) in enumerate(made):
        if kind == "bad":
            chunk.append(Record(offset, who, what))
        else:
            chunk.append(event_record(offset, who, **({"key": None} if kind == "keyless" else {}), **what))
    intake = read(*chunk)
    at = {kind: [n for n, (k, *_) in enumerate(made) if k == kind] for kind in ("good", "bad", "keyless")}
    assert intake.columns.offset.tolist() == at["good"]
    assert intake.keys == [made[n][1].encode() for n in at["good"]]
    assert [ACTIONS[code] for code in intake.columns.action.tolist()] == [made[n][2]["action"] for n in at["good"]]
    assert [refused.record.offset for refused in intake.refused] == at["bad"]
    assert [record.offset for record, _ in intake.keyless] == at["keyless"]
    assert sum(intake.actions.values()) == len(at["good"])

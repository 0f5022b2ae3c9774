"""The wire is a promise: golden files, JSON Schemas and the AsyncAPI document say the same as the types."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator
from places import GOLDEN
from reason_records import reasons_record

from models import vocabulary
from stream.schemas import ASYNCAPI, NAMES, SCHEMAS_DIR, generate, schema_for
from stream.settings import Settings
from stream.wire import records as events
from stream.wire.decode import (
    LETTER_REASONS,
    DecodedEvent,
    DecodedItem,
    DecodeLimits,
    Rejected,
    decode_event,
    decode_item,
)
from stream.wire.reasons import (
    CitedBehaviour,
    Contribution,
    Explanation,
    PlaceCause,
    PlaceReason,
    Reasons,
    RecommendationAttribution,
    WithoutItems,
    item_places,
    item_reasons,
)
from stream.wire.records import (
    Credit,
    Estimate,
    Event,
    EventSource,
    ExpertStats,
    FollowerStats,
    Item,
    ModelVersions,
    NewcomerStats,
    OutcomeAttribution,
    Recommendation,
    RecommendedItem,
    StrategyStats,
    encode,
    encode_sparse,
    read_attribution,
)

LIMITS = DecodeLimits(message_max_bytes=1_000_000, earliest_ms=0, max_ahead_ms=86_400_000)
KAFKA_TIME_MS = 1_767_225_700_000

READ: dict[str, Event | Item] = {
    "event-v1-full": Event(
        user_id="user-1",
        action="purchase",
        item_id="item-7",
        event_time=1_767_225_600_123,
        dwell_ms=42_000,
        value=19.5,
        text="just what I wanted",
        source="social",
        context={"device": "phone", "place": "home", "scene": "evening"},
        recommendation_id="r-1f2e",
        slot=3,
        event_id="e-000001",
    ),
    "event-v1-minimal": Event(user_id="user-1", action="view", item_id="item-7"),
    "event-v1-query": Event(
        user_id="用户-1",
        action="query",
        text="登山鞋",
        source="query",
        event_time="2026-01-01T02:00:00.123+02:00",
    ),
    "event-v1-unknown-fields": Event(user_id="user-1", action="click", item_id="item-7"),
    "item-v1-full": Item(
        item_id="item-7",
        title="Trail shoe",
        categories=("shoes", "outdoor"),
        description="Light and waterproof",
        language="en",
        media_text="A red shoe on a rock",
        published_at="2026-01-01T00:00:00Z",
        available=True,
        price=89.9,
        attributes={"brand": "Ridge", "colour": "red"},
    ),
    "item-v1-minimal": Item(item_id="item-8", title="登山鞋"),
}

WRITTEN: dict[
    str, Recommendation | Reasons | RecommendationAttribution | OutcomeAttribution | StrategyStats | NewcomerStats
] = {
    "strategy-stats-v1": StrategyStats(
        strategy="interest",
        slot=1,
        context=0,
        partition=3,
        exposures=4,
        clicks=2,
        carts=0.5,
        purchases=0.25,
        value=22.5,
        inverse_propensity=8.0,
        inverse_propensity_squared=16.0,
        clicks_inverse_propensity=4.0,
        clicks_inverse_propensity_squared=8.0,
        ips=Estimate(0.5, 0.0, 1.0),
        updated_at=1_767_225_600_123,
    ),
    "newcomer-stats-v1": NewcomerStats(
        partition=3,
        newcomers=41.5,
        newcomers_squared=39.25,
        experts={"popularity": ExpertStats(0.0, 0.0), "entry_month": ExpertStats(1.25, 0.5)},
        updated_at=1_767_225_600_123,
    ),
    "newcomer-stats-v1-contexts": NewcomerStats(
        partition=3,
        newcomers=41.5,
        newcomers_squared=39.25,
        experts={"popularity": ExpertStats(0.0, 0.0), "sequence": ExpertStats(1.25, 0.5)},
        updated_at=1_767_225_600_123,
        contexts=FollowerStats(
            "popularity", 40.5, 38.25, {"hour": ExpertStats(-0.5, 0.75), "scene": ExpertStats(2.0, 0.25)}
        ),
        few_items=FollowerStats(
            "popularity", 12.5, 11.25, {"0.5": ExpertStats(0.5, 0.75), "8": ExpertStats(-2.0, 1.25)}
        ),
    ),
    "recommendation-v1": Recommendation(
        recommendation_id="r-1f2e",
        user_id="user-1",
        generated_at=1_767_225_600_200,
        event_time=1_767_225_600_123,
        source=EventSource("interest.events", 3, 1_099_511_627_776),
        trigger="event",
        model=ModelVersions(encoder="minilm-2", sequence=None, ranker="linear-1", newcomers="trend_week"),
        items=(
            RecommendedItem("item-9", 1, 1.75, 0.25, "interest", 0.9, {"interest": 1.25, "co_occurrence": 0.5}),
            RecommendedItem("item-3", 2, 0.125, 0.0625, "explore", 0.1, {"exploration": 0.125}),
        ),
    ),
    "attribution-recommendation-v1": RecommendationAttribution(
        recommendation_id="r-1f2e",
        user_id="user-1",
        item_id="item-9",
        rank=1,
        score=1.75,
        contributions=(
            Contribution("item-7", "purchase", 1_767_225_600_123, 1.5),
            Contribution("item-5", "view", 1_767_225_500_000, 0.25),
        ),
        residual=0.0,
        method="exact",
        explanation=Explanation("Because you bought Trail shoe", "因为您购买了登山鞋"),
        others=0.0,
    ),
    "attribution-reasons-v2": Reasons(
        recommendation_id="1f2e3d4c5b6a79880123456789abcdef",
        user_id="user-1",
        method="exact-additive",
        part_names=("co_occurrence", "interest", "trend"),
        behaviours=(
            CitedBehaviour("item-7", "purchase", 1_767_225_600_123),
            CitedBehaviour("登山鞋", "query", 1_767_225_500_000),
        ),
        places=(
            PlaceReason(
                item_id="item-9",
                score=1.75,
                parts=(1.25, 0.5, 0.0),
                causes=(PlaceCause(0, 1.500001), PlaceCause(1, 0.25)),
                others=-0.000001,
                reason=0,
                strategy="interest",
            ),
            PlaceReason("item-3", 0.125, (0.0, 0.0, 0.125), (), 0.0, 1, "explore", 0.25),
        ),
        reasons=(
            {
                "en": "Because you bought “Trail shoe” just now and searched for “登山鞋”.",
                "zh": "因为您刚才购买了「Trail shoe」，并且搜索了「登山鞋」。",
            },
            {"en": "We are curious whether you like it.", "zh": "想知道您是否喜欢。"},
        ),
        gap=2.5e-16,
        counterfactual=WithoutItems(("item-7",), "item-3", True),
    ),
    "attribution-outcome-v1": OutcomeAttribution(
        outcome_id="o-77",
        user_id="user-1",
        item_id="item-9",
        action="purchase",
        event_time=1_767_229_200_000,
        value=89.9,
        credits=(Credit("r-1f2e", 1, "interest", 1_767_225_601_000, 0.75),),
        rule="last_touch",
        unattributed=0.25,
    ),
}

DECODERS = {
    "event": events.event_decoder,
    "item": events.item_decoder,
    "recommendation": events.recommendation_decoder,
    "attribution": events.attribution_decoder,
    "strategy-stats": events.strategy_stats_decoder,
    "newcomer-stats": events.newcomer_stats_decoder,
}

LEFT_OUT = {"contexts", "few_items"}
"""Fields that a record need not have."""

# design/wire.md, table by table. A field may be added here, never taken away.
DOCUMENTED: dict[type[msgspec.Struct], str] = {
    Event: "user_id action item_id event_time dwell_ms value text source context recommendation_id slot event_id",
    Item: "item_id title categories description language media_text published_at available price attributes",
    Recommendation: "recommendation_id user_id generated_at event_time source trigger model items schema_version",
    EventSource: "topic partition offset",
    ModelVersions: "encoder sequence ranker newcomers newcomers_for few_items_added",
    RecommendedItem: "item_id rank score probability strategy propensity parts",
    Reasons: (
        "kind recommendation_id user_id method part_names behaviours places reasons gap counterfactual schema_version"
    ),
    PlaceReason: "item_id score parts causes others reason strategy propensity",
    PlaceCause: "behaviour contribution",
    CitedBehaviour: "item_id action event_time",
    WithoutItems: "removed replacement exact",
    RecommendationAttribution: (
        "kind recommendation_id item_id rank score contributions residual method explanation schema_version"
    ),
    Contribution: "item_id action event_time contribution",
    Explanation: "en zh",
    OutcomeAttribution: "kind outcome_id item_id action event_time value credits rule unattributed schema_version",
    Credit: "recommendation_id rank strategy shown_at credit",
    NewcomerStats: "kind partition newcomers newcomers_squared experts updated_at schema_version",
    ExpertStats: "better better_squared",
    StrategyStats: "strategy slot context exposures clicks purchases value ips snips doubly_robust schema_version",
}

MINIMAL_EVENT = {"user_id": "u", "action": "view", "item_id": "i"}
MINIMAL_ITEM = {"item_id": "i", "title": "t"}


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def schema_name(golden_name: str) -> str:
    return next(name for name in DECODERS if golden_name.startswith(name))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema_for(name))


def references(document: Any) -> list[str]:
    if isinstance(document, dict):
        found = [each for value in document.values() for each in references(value)]
        return [*found, document["$ref"]] if isinstance(document.get("$ref"), str) else found
    return [each for value in document for each in references(value)] if isinstance(document, list) else []


def resolve(document: Any, pointer: str) -> Any:
    for step in pointer.removeprefix("#/").split("/"):
        document = document[step.replace("~1", "/").replace("~0", "~")]
    return document


# --- golden files -----------------------------------------------------------------------------------------------------


def test_every_golden_file_is_checked_and_every_check_has_its_file() -> None:
    assert sorted([*READ, *WRITTEN]) == sorted(path.stem for path in GOLDEN.glob("*-v*.json"))


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
def test_a_golden_file_decodes_to_the_expected_record(name: str) -> None:
    assert (READ | WRITTEN)[name] == DECODERS[schema_name(name)].decode(golden(name))


@pytest.mark.parametrize("name", [name for name in READ if name.startswith("event")])
def test_a_golden_event_is_accepted(name: str) -> None:
    event = READ[name]
    assert isinstance(event, Event)

    decoded = decode_event(event.user_id.encode(), golden(name), KAFKA_TIME_MS, LIMITS)

    expected_ms = KAFKA_TIME_MS if event.event_time is None else 1_767_225_600_123
    assert DecodedEvent(event, expected_ms) == decoded


@pytest.mark.parametrize("name", [name for name in READ if name.startswith("item")])
def test_a_golden_item_is_accepted(name: str) -> None:
    item = READ[name]
    assert isinstance(item, Item)

    published_ms = None if item.published_at is None else 1_767_225_600_000
    assert DecodedItem(item, published_ms) == decode_item(item.item_id.encode(), golden(name), LIMITS)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_penchant_writes_is_the_golden_file_again(name: str) -> None:
    record = DECODERS[schema_name(name)].decode(golden(name))

    written = encode(record)

    assert json.loads(golden(name)) == json.loads(written)
    assert list(json.loads(golden(name))) == list(json.loads(written))  # people read these in the documented order


@pytest.mark.parametrize("name", READ)
def test_a_record_that_is_read_survives_encoding(name: str) -> None:
    decoder = DECODERS[schema_name(name)]

    assert READ[name] == decoder.decode(encode(READ[name]))
    assert READ[name] == decoder.decode(encode_sparse(READ[name]))


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
def test_an_unknown_field_changes_nothing(name: str) -> None:
    decoder = DECODERS[schema_name(name)]
    later = json.loads(golden(name)) | {"added_in_a_later_version": [1, {"a": None}]}

    assert decoder.decode(golden(name)) == decoder.decode(json.dumps(later).encode())
    assert list(validator(schema_name(name)).iter_errors(later)) == []


@pytest.mark.parametrize("name", WRITTEN)
def test_every_record_written_carries_its_schema_version(name: str) -> None:
    assert json.loads(encode(WRITTEN[name]))["schema_version"] == (2 if name.endswith("-v2") else 1)


def test_the_example_list_and_outcome_keep_their_own_arithmetic() -> None:
    for item in json.loads(golden("recommendation-v1"))["items"]:
        assert item["score"] == sum(item["parts"].values())
    outcome = json.loads(golden("attribution-outcome-v1"))
    assert sum(credit["credit"] for credit in outcome["credits"]) + outcome["unattributed"] == 1.0
    for place in json.loads(golden("attribution-reasons-v2"), parse_float=Decimal)["places"]:
        assert place["score"] == sum(place["parts"])
        assert place["parts"][0] + place["parts"][1] == sum(value for _, value in place["causes"]) + place["others"]


@pytest.mark.parametrize("record", DOCUMENTED, ids=lambda record: record.__name__)
def test_every_documented_field_exists_in_the_types(record: type[msgspec.Struct]) -> None:
    config = record.__struct_config__
    fields = {*record.__struct_fields__, *([config.tag_field] if config.tag_field else [])}

    assert set() == set(DOCUMENTED[record].split()) - fields


def test_the_codes_stored_in_packed_state_keep_their_positions() -> None:
    known = ("view", "click", "like", "dislike", "cart", "purchase", "impression", "query")
    assert known == vocabulary.ACTIONS[: len(known)]
    assert vocabulary.STRATEGIES[:4] == ("interest", "popular", "cold_start", "explore")
    assert vocabulary.RULES == ("last_touch", "first_touch", "linear", "position_based", "time_decay")
    assert vocabulary.EVIDENCE == ("named", "impression", "list", "none")
    codes = vocabulary.IMPRESSION, vocabulary.REFUND, vocabulary.COLD_START, vocabulary.TIME_DECAY, vocabulary.LISTED
    assert codes == (6, 8, 2, 4, 2)


# --- JSON Schemas -----------------------------------------------------------------------------------------------------


def test_the_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_or_missing_file_fails_the_check_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "HERE", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "item.json").write_text("{}")
    (tmp_path / "asyncapi.yaml").unlink()

    assert generate.main(["--check"]) == 1

    line = "stream/schemas: item.json, asyncapi.yaml out of date; run python -m stream.schemas.generate\n"
    assert line == capsys.readouterr().err


def test_the_package_holds_one_file_per_schema_and_no_other() -> None:
    assert {f"{name}.json" for name in NAMES} == {f.name for f in SCHEMAS_DIR.iterdir() if f.name.endswith(".json")}


def test_a_schema_that_does_not_exist_is_a_key_error_that_lists_those_that_do() -> None:
    with pytest.raises(KeyError, match="event, privacy-request, receipt, item, recommendation"):
        schema_for("../settings")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_draft_2020_12_and_its_references_resolve(name: str) -> None:
    schema = schema_for(name)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    for reference in references(schema):
        assert isinstance(resolve(schema, reference), dict)


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
def test_a_golden_file_satisfies_its_schema(name: str) -> None:
    assert list(validator(schema_name(name)).iter_errors(json.loads(golden(name)))) == []


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
def test_what_penchant_encodes_satisfies_its_schema_nulls_included(name: str) -> None:
    record = (READ | WRITTEN)[name]

    assert list(validator(schema_name(name)).iter_errors(json.loads(encode(record)))) == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_written_record_without_any_one_field_breaks_its_schema(name: str) -> None:
    whole = json.loads(golden(name))

    for field in whole.keys() - LEFT_OUT:
        part = {key: value for key, value in whole.items() if key != field}
        assert not validator(schema_name(name)).is_valid(part), field


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": None},
        {"user_id": ""},
        {"user_id": "u" * 129},
        {"action": "stare"},
        {"item_id": None},
        {"item_id": "i" * 129},
        {"event_time": 1.5},
    ],
    ids=str,
)
def test_the_event_schema_and_the_decoder_refuse_the_same_events(change: dict[str, Any]) -> None:
    value = MINIMAL_EVENT | change

    assert not validator("event").is_valid(value)
    assert isinstance(decode_event(None, json.dumps(value).encode(), KAFKA_TIME_MS, LIMITS), Rejected)


@pytest.mark.parametrize(
    "change",
    [
        {"dwell_ms": -1},
        {"dwell_ms": True},
        {"dwell_ms": 2**63},
        {"slot": 2**63},
        {"slot": -(2**63) - 1},
        {"value": "ten"},
        {"source": "gossip"},
        {"context": {"device": 1}},
        {"text": 1},
    ],
    ids=str,
)
def test_an_optional_field_that_the_event_schema_refuses_is_mended(change: dict[str, Any]) -> None:
    value = MINIMAL_EVENT | change

    assert not validator("event").is_valid(value)
    decoded = decode_event(None, json.dumps(value).encode(), KAFKA_TIME_MS, LIMITS)
    assert isinstance(decoded, DecodedEvent)
    assert tuple(change) == decoded.mended
    assert validator("event").is_valid(json.loads(encode_sparse(decoded.event)))


@pytest.mark.parametrize(
    "change",
    [
        {"action": "query", "item_id": None},
        {"slot": -1},
        {"slot": 2**63 - 1},
        {"dwell_ms": 2**63 - 1},
        {"value": -1},
        {"text": None, "context": None, "event_time": None, "event_id": None},
        {"event_time": "2026-01-01T00:00:00Z"},
        {"added_later": 1},
    ],
    ids=str,
)
def test_the_event_schema_and_the_decoder_take_the_same_events(change: dict[str, Any]) -> None:
    value = MINIMAL_EVENT | change

    assert list(validator("event").iter_errors(value)) == []
    assert isinstance(decode_event(b"u", json.dumps(value).encode(), KAFKA_TIME_MS, LIMITS), DecodedEvent)


@pytest.mark.parametrize(
    "change",
    [
        {"item_id": ""},
        {"title": None},
        {"title": ""},
        {"available": "no"},
    ],
    ids=str,
)
def test_the_item_schema_and_the_decoder_refuse_the_same_items(change: dict[str, Any]) -> None:
    value = MINIMAL_ITEM | change

    assert not validator("item").is_valid(value)
    assert isinstance(decode_item(b"i", json.dumps(value).encode(), LIMITS), Rejected)


@pytest.mark.parametrize(
    "change",
    [{"categories": "shoes"}, {"price": "cheap"}, {"attributes": {"size": 43}}, {"published_at": 2**63}],
    ids=str,
)
def test_an_optional_field_that_the_item_schema_refuses_is_mended(change: dict[str, Any]) -> None:
    value = MINIMAL_ITEM | change

    assert not validator("item").is_valid(value)
    decoded = decode_item(b"i", json.dumps(value).encode(), LIMITS)
    assert isinstance(decoded, DecodedItem)
    assert tuple(change) == decoded.mended
    assert validator("item").is_valid(json.loads(encode_sparse(decoded.item)))


def test_an_attribution_is_of_one_kind_only() -> None:
    outcome = json.loads(golden("attribution-outcome-v1"))

    assert not validator("attribution").is_valid(outcome | {"kind": "recommendation"})
    assert not validator("attribution").is_valid(outcome | {"kind": "rumour"})
    with pytest.raises(msgspec.ValidationError):
        read_attribution(json.dumps(outcome | {"kind": "rumour"}).encode())


def place_of(record: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = record["places"][0]
    return first


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record.update(schema_version=3),
        lambda record: place_of(record).update(reason=2),
        lambda record: place_of(record).update(reason=-1),
        lambda record: place_of(record)["causes"].append([2, 0.5]),
        lambda record: place_of(record)["causes"].append([-1, 0.5]),
        lambda record: place_of(record)["parts"].pop(),
    ],
)
def test_reasons_of_a_later_version_or_that_refer_to_what_is_not_there_are_refused(spoil: Any) -> None:
    record = json.loads(golden("attribution-reasons-v2"))
    assert read_attribution(json.dumps(record).encode()) == WRITTEN["attribution-reasons-v2"]
    spoil(record)
    with pytest.raises(msgspec.ValidationError):
        read_attribution(json.dumps(record).encode())


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b'{"kind":"reasons"}', b"\xff", b'{"kind":"reasons","user_id":"\xff"}']
)
def test_what_is_no_record_of_that_topic_is_refused_in_the_ways_that_readers_expect(value: bytes | None) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        read_attribution(value)


def test_a_record_of_reasons_says_the_same_as_those_of_before_it() -> None:
    new, old = WRITTEN["attribution-reasons-v2"], WRITTEN["attribution-recommendation-v1"]
    assert isinstance(new, Reasons)
    assert isinstance(old, RecommendationAttribution)
    first, second = item_reasons(new)
    assert (first.item_id, first.rank, first.score, first.others) == ("item-9", 1, 1.75, -0.000001)
    assert first.contributions == (
        Contribution("item-7", "purchase", 1_767_225_600_123, 1.500001),
        Contribution("登山鞋", "query", 1_767_225_500_000, 0.25),
    )
    assert (second.rank, second.contributions, second.sentence("zh")) == (2, (), "想知道您是否喜欢。")
    assert [(p.rank, p.strategy, p.propensity) for p in item_places(new)] == [
        (1, "interest", 1.0),
        (2, "explore", 0.25),
    ]
    (only,) = item_reasons(old)
    assert (only.item_id, only.rank, only.contributions) == (old.item_id, old.rank, old.contributions)
    assert only.sentences == {"en": old.explanation.en, "zh": old.explanation.zh}
    assert item_places(old) == [("item-9", 1, "unknown", 1.0, None, None)]


def test_a_sentence_is_in_the_language_asked_for_or_in_one_that_there_is() -> None:
    (only,) = item_reasons(reasons_record("r", "u", ["i"], said=[{"zh": "因为。"}]))
    assert (only.sentence("zh"), only.sentence("en")) == ("因为。", "因为。")
    (silent,) = item_reasons(reasons_record("r", "u", ["i"], said=[{}]))
    assert silent.sentence("en") == ""


def test_the_dead_letter_schema_knows_every_reason_and_demands_every_header() -> None:
    headers = {
        "reason": "schema",
        "detail": "why",
        "topic": "interest.events",
        "partition": "0",
        "offset": "17",
        "timestamp": "1767225700000",
    }

    for reason in LETTER_REASONS:
        assert list(validator("dead-letter").iter_errors(headers | {"reason": reason})) == []
    assert not validator("dead-letter").is_valid(headers | {"reason": "dislike"})
    for header in headers:
        assert not validator("dead-letter").is_valid({key: value for key, value in headers.items() if key != header})


def test_descriptions_come_from_the_types() -> None:
    assert schema_for("event")["properties"]["item_id"]["description"] == "Required unless `action` is `query`."


# --- AsyncAPI (checked once with @asyncapi/parser 3; here offline) ----------------------------------------------------


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document = yaml.safe_load(ASYNCAPI.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def test_the_asyncapi_document_reads_back_as_it_was_made(asyncapi: dict[str, Any]) -> None:
    assert generate.asyncapi() == asyncapi


def test_the_asyncapi_document_has_what_version_3_requires(asyncapi: dict[str, Any]) -> None:
    assert asyncapi["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= asyncapi["info"].keys()
    assert {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"} == asyncapi.keys()
    for operation in asyncapi["operations"].values():
        assert operation["action"] in {"send", "receive"}


def test_every_reference_in_the_asyncapi_document_resolves(asyncapi: dict[str, Any]) -> None:
    found = references(asyncapi)

    assert {f"./{name}.json" for name in NAMES} == {each for each in found if not each.startswith("#")}
    for each in found:
        if each.startswith("#"):
            assert isinstance(resolve(asyncapi, each), dict)


def test_the_asyncapi_channels_are_the_public_topics(asyncapi: dict[str, Any]) -> None:
    public = ("events", "items", "recommendations", "attributions", "strategy_stats", "dead_letter")
    defaults = {Settings.model_fields[f"topic_{name}"].default for name in public}

    others = dict(asyncapi["channels"])
    home, placements = others["recommendations"], others.pop("placementRecommendations")
    assert defaults == {channel["address"] for channel in others.values()}
    assert defaults == {channel["bindings"]["kafka"]["topic"] for channel in others.values()}
    assert placements["address"] == f"{home['address']}.{{placement}}"
    assert set(placements["parameters"]) == {"placement"}
    assert placements["messages"] == home["messages"]


def test_the_asyncapi_document_says_which_topics_are_compacted_and_that_null_erases_there(
    asyncapi: dict[str, Any],
) -> None:
    for name, channel in asyncapi["channels"].items():
        policy = channel["bindings"]["kafka"].get("topicConfiguration", {}).get("cleanup.policy")
        messages = [resolve(asyncapi, each["$ref"]) for each in channel["messages"].values()]
        erasable = name in {"items", "recommendations", "placementRecommendations"}
        assert (["compact"] if erasable or name == "strategyStats" else None) == policy
        assert erasable == any(message["payload"] == {"type": "null"} for message in messages)


def test_every_asyncapi_message_says_what_its_key_is(asyncapi: dict[str, Any]) -> None:
    for message in asyncapi["components"]["messages"].values():
        assert message["bindings"]["kafka"]["key"]["description"]

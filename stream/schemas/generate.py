"""Make the JSON Schemas and the AsyncAPI document from the types: `python -m stream.schemas.generate [--check]`.

With `--check` nothing is written: exit code 1 and one line if a committed file is not what the types say. A task of
development (it needs PyYAML); the files it makes are committed and shipped.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]  # types-PyYAML is not worth a dependency for one call

from stream.settings import Settings
from stream.wire import reasons, requests
from stream.wire import records as events
from stream.wire.decode import LETTER_REASONS
from stream.wire.mending import INT64_MAX, INT64_MIN
from stream.wire.reasons import REASONS_VERSION
from stream.wire.records import SCHEMA_VERSION

Json = dict[str, Any]

HERE = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KAFKA_BINDING = "0.5.0"

# The types whose records Penchant writes: these always carry `schema_version`.
WRITTEN = ("Recommendation", "Reasons", "OutcomeAttribution", "StrategyStats", "NewcomerStats")

# Of before 0.3: still read, and on topics as long as their retention lasts.
ONCE_WRITTEN = ("RecommendationAttribution",)

ABOUT = (
    "What Penchant reads from and writes to Kafka. Values are UTF-8 JSON, one object per record; keys are UTF-8 ids "
    "of 1 to 128 bytes. Unknown fields are ignored. Every record written carries `schema_version`; a field is added "
    "freely, never renamed or reused. Topic names are settings; these are the defaults. Topics that only Penchant's "
    "own workers use (item deltas, item statistics, the changelog) are no part of this contract."
)

HEADERS = {
    "reason": "A short code.",
    "detail": "One sentence for people.",
    "topic": "Where the record was read from.",
    "partition": "Its partition there, in digits.",
    "offset": "Its offset there, in digits; -1: it is no record, but a user who is quarantined.",
    "timestamp": "Its Kafka timestamp, milliseconds since the epoch, in digits; -1: none.",
}
OF_A_BEGINNING = {
    "whole_bytes": "Present where the value is only the beginning of the record's: how many bytes the whole has, in digits.",
    "whole_sha256": "SHA-256 of the whole, in hexadecimal.",
    "headers_left_out": "Present where the producer's own headers are too large to go along (16 KiB): how many there were.",
}
"""Optional headers."""


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` compare them."""
    made = {f"{name}.json": _json_text(schema) for name, schema in schemas().items()} | {"asyncapi.yaml": _yaml_text()}
    if "--check" in arguments:
        stale = [name for name, text in made.items() if not _is(HERE / name, text)]
        if stale:
            sys.stderr.write(f"stream/schemas: {', '.join(stale)} out of date; run python -m stream.schemas.generate\n")
        return 1 if stale else 0
    for name, text in made.items():
        (HERE / name).write_text(text, encoding="utf-8")
    return 0


def _left_out(name: str) -> set[str]:
    """Fields that a record is written without where they say nothing."""
    record = getattr(events, name, None) or getattr(reasons, name)
    return {each.encode_name for each in msgspec.structs.fields(record) if each.default is msgspec.UNSET}


def schemas() -> dict[str, Json]:
    """Every JSON Schema by the name of its file."""
    _, parts = msgspec.json.schema_components(
        [
            events.Event,
            events.Item,
            events.Recommendation,
            events.Attribution,
            events.StrategyStats,
            events.NewcomerStats,
            requests.PrivacyRequest,
            requests.Receipt,
        ]
    )
    for name, part in parts.items():
        _describe(name, part)
        _name_time_format(part)
    for name in (*WRITTEN, *ONCE_WRITTEN):
        version = REASONS_VERSION if name == "Reasons" else SCHEMA_VERSION
        parts[name]["properties"]["schema_version"] = {"const": version}
        # Also what has a default in the type: that is for reading records of before the field was added.
        left_out = _left_out(name)
        parts[name]["required"] = [each for each in parts[name]["properties"] if each not in left_out]
    event = parts["Event"]
    event["properties"]["dwell_ms"]["anyOf"][0]["maximum"] = INT64_MAX
    event["properties"]["slot"]["anyOf"][0] |= {"minimum": INT64_MIN, "maximum": INT64_MAX}
    event |= {
        "if": {"properties": {"action": {"const": "query"}}},
        "else": {"required": ["item_id"], "properties": {"item_id": {"type": "string"}}},
    }
    attribution = {
        "title": "Attribution",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("Reasons", "OutcomeAttribution", *ONCE_WRITTEN)],
    }
    return {
        "event": _document(event, parts),
        "privacy-request": _document(parts["PrivacyRequest"], parts),
        "receipt": _document(parts["Receipt"], parts),
        "item": _document(parts["Item"], parts),
        "recommendation": _document(parts["Recommendation"], parts),
        "attribution": _document(attribution, parts),
        "strategy-stats": _document(parts["StrategyStats"], parts),
        "newcomer-stats": _document(parts["NewcomerStats"], parts),
        "dead-letter": _document(_dead_letter_headers(), parts),
    }


def asyncapi() -> Json:
    """The AsyncAPI 3.0 document. Its payloads are the JSON Schemas beside it."""
    channels = {
        "events": _channel("events", ("event", "privacyRequest")),
        "items": _channel("items", ("item", "itemRemoved"), compacted=True),
        "recommendations": _channel("recommendations", ("recommendation", "userErased"), compacted=True),
        "placementRecommendations": _channel_of_placements(),
        "attributions": _channel("attributions", ("attribution", "receipt")),
        "strategyStats": _channel("strategy_stats", ("strategyStats", "newcomerStats"), compacted=True),
        "deadLetter": _channel("dead_letter", ("deadLetter",)),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penchant",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            "readEvents": _operation("receive", "events"),
            "readItems": _operation("receive", "items"),
            "writeRecommendations": _operation("send", "recommendations"),
            "writePlacementRecommendations": _operation("send", "placementRecommendations"),
            "writeAttributions": _operation("send", "attributions"),
            "writeStrategyStats": _operation("send", "strategyStats"),
            "writeDeadLetters": _operation("send", "deadLetter"),
        },
        "components": {
            "messages": {
                "event": _message("event", "One behaviour of one user.", _key("user_id; null is taken too", null=True)),
                "privacyRequest": _message("privacy-request", "What one person asks for.", _key("user_id")),
                "receipt": _message("receipt", "What was done about a request of a person.", _key("request_id")),
                "item": _message("item", "One catalogue item.", _key("item_id")),
                "itemRemoved": _tombstone("The item is removed.", _key("item_id")),
                "recommendation": _message("recommendation", "One list for one user.", _key("user_id")),
                "userErased": _tombstone("The user's list is erased.", _key("user_id")),
                "attribution": _message(
                    "attribution", "Why the items of a list are shown, or who earned an outcome.", _key("user_id")
                ),
                "strategyStats": _message(
                    "strategy-stats",
                    "What a strategy earned in one slot and context.",
                    _key("STRATEGY/SLOT/CONTEXT/PARTITION"),
                ),
                "newcomerStats": _message(
                    "newcomer-stats",
                    "What newcomers' first choices said of the lists that they could have had.",
                    _key("newcomers/PARTITION"),
                ),
                "deadLetter": {
                    "summary": "A refused record: the original key and value, and why it was refused.",
                    "contentType": "application/octet-stream",
                    "headers": {"$ref": "./dead-letter.json"},
                    "payload": {"description": "The original bytes. Replaying is producing them again, byte for byte."},
                    "bindings": {
                        "kafka": {"key": {"description": "The original key."}, "bindingVersion": KAFKA_BINDING},
                    },
                },
            }
        },
    }


# --- JSON Schema ------------------------------------------------------------------------------------------------------


def _document(schema: Json, parts: dict[str, Json]) -> Json:
    """`schema` as a document of its own, with the parts that it refers to."""
    needed = {name: parts[name] for name in sorted(_referred(schema, parts))}
    return {"$schema": DIALECT, **schema, **({"$defs": needed} if needed else {})}


def _referred(schema: Any, parts: dict[str, Json]) -> set[str]:
    if isinstance(schema, list):
        return set().union(*(_referred(each, parts) for each in schema))
    if not isinstance(schema, dict):
        return set()
    found = set().union(*(_referred(each, parts) for each in schema.values()))
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        found |= {name} | _referred(parts[name], parts)
    return found


def _describe(type_name: str, schema: Json) -> None:
    """The string below each attribute of a type in `stream.wire` becomes the description of that property, or place."""
    (definition,) = (
        node
        for module in (events, reasons, requests)
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == type_name
    )
    fields = [node.target.id for node in definition.body if isinstance(node, ast.AnnAssign)]  # type: ignore[union-attr]
    described = (
        schema["properties"] if "properties" in schema else dict(zip(fields, schema["prefixItems"], strict=True))
    )
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            described[field.target.id]["description"] = inspect.cleandoc(ast.literal_eval(below.value))


def _name_time_format(schema: Any) -> None:
    """A time is the one choice between an integer and a string; tell validators which ones."""
    if isinstance(schema, dict):
        if schema.get("anyOf") == [{"type": "integer"}, {"type": "string"}]:
            integer, string = schema["anyOf"]
            integer |= {"minimum": INT64_MIN, "maximum": INT64_MAX}
            string["format"] = "date-time"
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            _name_time_format(each)


def _dead_letter_headers() -> Json:
    described = HEADERS | OF_A_BEGINNING
    properties: Json = {name: {"type": "string", "description": text} for name, text in described.items()}
    properties["reason"]["enum"] = list(LETTER_REASONS)
    return {
        "title": "DeadLetterHeaders",
        "description": "Kafka headers of a dead letter, each UTF-8. Its key and value are the original bytes, or the beginning "
        "of a value that does not fit; of a quarantined user what reproduces it. Headers that its producer gave an event "
        "follow as header.NAME. A record without a reason is no letter: penchant dead-letter replay notes there what it sent.",
        "type": "object",
        "properties": properties,
        "required": list(HEADERS),
    }


# --- AsyncAPI ---------------------------------------------------------------------------------------------------------


def _channel(topic: str, messages: tuple[str, ...], *, compacted: bool = False) -> Json:
    field = Settings.model_fields[f"topic_{topic}"]
    binding: Json = {"topic": field.default, "bindingVersion": KAFKA_BINDING}
    if compacted:
        binding["topicConfiguration"] = {"cleanup.policy": ["compact"]}
    return {
        "address": field.default,
        "description": f"{field.description}. Setting: `topic_{topic}`.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": binding},
    }


def _channel_of_placements() -> Json:
    home = _channel("recommendations", ("recommendation", "userErased"), compacted=True)
    binding = {name: value for name, value in home["bindings"]["kafka"].items() if name != "topic"}  # it is the address
    return home | {
        "address": f"{home['address']}.{{placement}}",
        "description": "Lists of each other placement, compacted, key = user_id. Setting: `placements.NAME.topic`.",
        "parameters": {"placement": {"description": "Name of a placement other than `home`."}},
        "bindings": {"kafka": binding},
    }


def _operation(action: str, channel: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _message(schema: str, summary: str, bindings: Json) -> Json:
    return {"summary": summary, "payload": {"$ref": f"./{schema}.json"}, "bindings": bindings}


def _tombstone(summary: str, bindings: Json) -> Json:
    return {"summary": summary, "payload": {"type": "null"}, "bindings": bindings}


def _key(description: str, *, null: bool = False) -> Json:
    key = {"type": ["string", "null"] if null else "string", "description": description}
    return {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}}


# --- files ------------------------------------------------------------------------------------------------------------


def _json_text(schema: Json) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _yaml_text() -> str:
    text: str = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120)
    return f"# Made by python -m stream.schemas.generate; do not edit.\n{text}"


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

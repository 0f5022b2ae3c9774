"""JSON Schemas (draft 2020-12) of the records on the wire, and one AsyncAPI document of the topics.

It must not hold a type of its own.

The files here are made from the types in `stream.wire.records` by `python -m stream.schemas.generate` and are part of the
package, so that other services can validate against exactly what this version reads and writes.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

NAMES: tuple[str, ...] = (
    "event",
    "privacy-request",
    "receipt",
    "item",
    "recommendation",
    "attribution",
    "strategy-stats",
    "newcomer-stats",
    "dead-letter",
)
"""One schema each. `dead-letter` describes the headers: the key and value of a dead letter are the original bytes."""

SCHEMAS_DIR = files(__name__)
ASYNCAPI = SCHEMAS_DIR / "asyncapi.yaml"


def schema_for(name: str) -> dict[str, Any]:
    """The JSON Schema of one kind of record. Raises KeyError for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise KeyError(f"no schema {name!r}; there are {', '.join(NAMES)}")
    schema: dict[str, Any] = json.loads((SCHEMAS_DIR / f"{name}.json").read_text(encoding="utf-8"))
    return schema

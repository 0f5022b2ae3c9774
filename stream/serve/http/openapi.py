"""The OpenAPI 3.1 document, made from the table of routes and the types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from stream import __version__
from stream.serve.answers import Problem
from stream.serve.http.routes import ROUTES, Route
from stream.wire.records import MAX_ID_BYTES

ALWAYS = (400, 401, 429, 503)

_PATHS = {
    "rank": {"type": "integer", "minimum": 1, "maximum": 200},
    "token": {"type": "string", "minLength": 1, "maxLength": 400},
}
_ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES, "description": "UTF-8, 1 to 128 bytes"}


def openapi(routes: Sequence[Route] = ROUTES) -> dict[str, Any]:
    """The document."""
    kinds = [kind for r in routes for kind in (r.gives, r.query, r.body) if kind is not None] + [Problem]
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    used = _used(paths, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penchant",
            "version": __version__,
            "summary": "Fresh recommendations and their true reasons",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in sorted(components.items()) if name in used},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *(_in_path(name) for name in re.findall(r"{(\w+)}", route.path)),
            *_in_query(route.query, components),
        ],
        "responses": {
            str(route.status): {"description": "OK", "content": {"application/json": {"schema": _ref(route.gives)}}},
        },
    }
    if route.is_admin:
        made["security"] = [{}, {"bearer": []}]
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(route.body)}}}
    problem = {"application/problem+json": {"schema": _ref(Problem)}}
    for status in sorted({*ALWAYS, *route.others}):
        made["responses"][str(status)] = {"description": "A problem", "content": problem}
    if route.name == "ready":
        content = {"application/json": {"schema": _ref(route.gives)}, **problem}
        made["responses"]["503"] = {"description": "Not yet, or not any more", "content": content}
    return made


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _PATHS.get(name, _ID)}


def _in_query(kind: type[msgspec.Struct] | None, components: dict[str, Any]) -> list[dict[str, Any]]:
    if kind is None:
        return []
    schema = components[kind.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _without_null(each)}
        | ({"style": "form", "explode": True} if each.get("type") == "array" else {})
        for name, each in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """In a query a parameter is there or not; it is never null."""
    kept = {name: value for name, value in schema.items() if name != "default" or value is not None}
    options = [each for each in kept.get("anyOf", ()) if each != {"type": "null"}]
    if "anyOf" in kept and len(options) == 1:
        del kept["anyOf"]
        kept |= options[0]
    return kept


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _used(paths: Any, components: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting: list[Any] = [paths]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            name = str(each.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(components[name])
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found

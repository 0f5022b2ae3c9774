"""The OpenAPI document says what is asked and answered."""

from __future__ import annotations

import jsonschema

from stream.serve.http.openapi import openapi
from stream.serve.http.routes import ROUTES


def test_every_route_is_described_with_its_problems():
    document = openapi()
    assert document["openapi"] == "3.1.0"
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["operationId"] == route.name
        assert {str(route.status), "400", "401", "429", "503"} <= set(operation["responses"])


def test_bounds_stand_in_the_document():
    document = openapi()
    parameters = document["paths"]["/v1/users/{user_id}/recommendations"]["get"]["parameters"]
    by_name = {each["name"]: each for each in parameters}
    assert by_name["user_id"]["required"]
    assert by_name["n"]["schema"]["maximum"] == 200
    assert by_name["exclude"]["schema"]["type"] == "array"
    assert by_name["min_offset"]["schema"]["type"] == "integer"
    assert by_name["context.device"]["schema"]["maxLength"] == 100


def test_every_schema_is_one_and_every_reference_is_there():
    document = openapi()
    schemas = document["components"]["schemas"]

    def look(each: object) -> None:
        if isinstance(each, dict):
            if "$ref" in each:
                assert each["$ref"].rpartition("/")[2] in schemas
            for value in each.values():
                look(value)
        elif isinstance(each, list):
            for value in each:
                look(value)

    look(document["paths"])
    for schema in schemas.values():
        look(schema)
        jsonschema.Draft202012Validator.check_schema(schema)

"""Every operation of `penchant serve`, asked whatever its OpenAPI document allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serve_world import World, serve_world

from stream.serve.http.openapi import openapi

EXAMPLES = 30

BEYOND_A_SCHEMA = (positive_data_acceptance,)
"""A schema counts characters where ids are bounded in bytes, and says nothing of items that a catalogue must have, of rules,
or of fields that need each other: what it allows may be a 400 all the same."""

OPERATIONS = [each.ok() for each in schemathesis.openapi.from_dict(openapi()).get_all_operations()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve_world(tmp_path_factory.mktemp("openapi")) as running:
        yield running


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_as_the_document_says(world: World, operation, mode):
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body or operation.path_parameters):
        pytest.skip("it takes nothing that could be wrong")

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case) -> None:
        case.call_and_validate(base_url=world.serve.url, timeout=60, excluded_checks=list(BEYOND_A_SCHEMA))

    check()
    assert world.serve.client.get("/health/live").status_code == 200

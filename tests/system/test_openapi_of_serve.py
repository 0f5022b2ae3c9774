"""Every operation of `penchant serve`, asked whatever its OpenAPI document allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from serve_world import World, serve_world

EXAMPLES = 25


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve_world(tmp_path_factory.mktemp("openapi")) as running:
        yield running


@pytest.fixture(scope="module")
def document(world: World):
    loaded = schemathesis.openapi.from_url(f"{world.serve.url}/openapi.json")
    loaded.config.update(base_url=world.serve.url)
    return loaded


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_document_says(case):
    case.call_and_validate()

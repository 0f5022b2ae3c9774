"""Where the examples that ask find somebody to ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_serve import FakeServe, listening


@pytest.fixture
def fake() -> FakeServe:
    return FakeServe()


@pytest.fixture
def serve_url(fake: FakeServe) -> Iterator[str]:
    """The address of a `penchant serve` whose shop has tea things, nothing of which anybody was asked about before."""
    with listening(fake.app) as url:
        yield url

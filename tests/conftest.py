"""Fixtures that several test files share: the two brokers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from hypothesis import settings
from kafka_server import KafkaMissingError, KafkaServer

from stream.kafka.embedded import EmbeddedBroker

# The same examples every time, and no deadline: a loaded machine must not turn a test red.
settings.register_profile("penchant", derandomize=True, deadline=None)
settings.load_profile("penchant")


@pytest.fixture
def embedded() -> Iterator[Callable[[Mapping[str, int]], EmbeddedBroker]]:
    """Makes embedded brokers with the topics it is given (name -> partitions); all are closed after the test."""
    with ExitStack() as brokers:
        yield lambda topics: brokers.enter_context(EmbeddedBroker(topics))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A running local Apache Kafka, one for all tests: use your own topics and groups, start it again if you stop it.

    Where Java 17, Maven or the jars are missing the test is skipped; with CI=true that is a failure.
    """
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
    except KafkaMissingError as missing:
        # CI must not turn green because it tested nothing.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
    yield server
    server.stop()

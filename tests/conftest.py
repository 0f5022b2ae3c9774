"""Fixtures that several test files share: the two brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from hypothesis import settings
from kafka_for_tests import running
from kafka_server import KafkaServer

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
    with running(KafkaServer(tmp_path_factory.mktemp("kafka"))) as server:
        yield server

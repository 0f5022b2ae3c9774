"""An Apache Kafka while some tests run. Where Java 17, Maven or the jars are missing they are skipped; with CI=true that is a
failure: CI must not turn green because it tested nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka_server import KafkaMissingError, KafkaServer


@contextmanager
def running(server: KafkaServer) -> Iterator[KafkaServer]:
    """Started, and stopped afterwards."""
    try:
        server.start()
    except KafkaMissingError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
    try:
        yield server
    finally:
        server.stop()

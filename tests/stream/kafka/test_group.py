"""Who is in the group, and what is said where those are to blame."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from aiokafka.errors import InconsistentGroupProtocolError, InvalidSessionTimeoutError, KafkaError

from stream.errors import EXIT_USAGE, RefusedError, UsageError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.engine.errors import translated
from stream.kafka.group import members_of, named
from stream.settings import Settings


def test_a_foreign_consumer_in_the_group_is_told_with_who_it_is_and_the_fix() -> None:
    error = translated(InconsistentGroupProtocolError(), "penchant", lambda: named(["console-consumer at 10.0.0.3"]))

    assert isinstance(error, UsageError)
    assert EXIT_USAGE == 2
    assert str(error) == (
        "Kafka: group penchant is in use by another program (console-consumer at 10.0.0.3), which shares partitions in "
        "another way. Fix: stop that program, or give the workers a --group-id of their own"
    )


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (InvalidSessionTimeoutError(), UsageError, "session_timeout_s"),
        (KafkaError("GroupMaxSizeReachedError()"), RefusedError, "group.max.size"),
    ],
)
def test_what_keeps_a_worker_out_of_its_group_has_its_fix(error: KafkaError, kind: type, said: str) -> None:
    ours = translated(error)

    assert isinstance(ours, kind)
    assert said in str(ours)
    assert "Fix: " in str(ours)


def test_members_are_named_a_few_of_many() -> None:
    assert named([]) == "a consumer that is no Penchant worker"
    assert named([f"c{n} at h" for n in range(7)]) == "c0 at h, c1 at h, c2 at h, c3 at h, c4 at h and 2 more"


def test_a_broker_that_does_not_tell_is_no_error(embedded: Callable[[Mapping[str, int]], EmbeddedBroker]) -> None:
    broker = embedded({"interest.events": 1})

    assert members_of(Settings(bootstrap_servers=broker.bootstrap_servers, connect_timeout_s=1)) == []

"""Bytewax as its users write it: `stateful_map` over the Kafka source; VARIANT `recovery` saves state and offsets every second.

Without recovery nothing is durable, which is less than the others do. Bytewax keeps offsets in its own recovery store and
commits none to Kafka, so the job itself says when all is saved: when the dataflow has come to the topic's end and returned.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from bytewax.testing import TestingSink

from benchmarks.peers.interest import say, update

COMMIT_INTERVAL = timedelta(seconds=1)
told = False


def keyed(message: Any) -> tuple[str, dict[str, Any]]:
    """User and event of a record."""
    event = orjson.loads(message.value)
    return event["user_id"], event


def track(state: dict[str, Any] | None, event: dict[str, Any]) -> tuple[dict[str, Any], None]:
    """Apply one event."""
    global told  # noqa: PLW0603
    if not told:
        told = True
        say("FIRST")
    return update(state, event), None


def build() -> Dataflow:
    """Source, state, and a sink that receives nothing."""
    flow = Dataflow("interest")
    source = KafkaSource([os.environ["BOOTSTRAP_SERVERS"]], [os.environ["TOPIC"]], tail=False, batch_size=1000)
    messages = op.input("events", flow, source)
    tracked = op.stateful_map("track", op.map("keyed", messages, keyed), track)
    op.output("nowhere", op.filter("nothing", tracked, lambda pair: pair[1] is not None), TestingSink([]))
    return flow


if __name__ == "__main__":
    recovery = None
    if os.environ["VARIANT"] == "recovery":
        directory = Path(os.environ["DATA_DIR"])
        directory.mkdir(parents=True)
        init_db_dir(directory, 1)
        recovery = RecoveryConfig(str(directory))
    cli_main(build(), epoch_interval=COMMIT_INTERVAL, recovery_config=recovery)
    say("DURABLE")
    sys.stdin.read()

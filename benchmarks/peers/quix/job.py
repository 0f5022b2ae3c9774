"""Quix Streams as its users write it: JSON state through `stateful=True`, default settings, a commit every second."""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application

from benchmarks.peers.interest import say, update

app = Application(
    broker_address=os.environ["BOOTSTRAP_SERVERS"],
    consumer_group=os.environ["GROUP"],
    auto_offset_reset="earliest",
    state_dir=os.environ["DATA_DIR"],
    commit_interval=1.0,
    loglevel="WARNING",
)
told = False


def track(event: dict[str, Any], state: Any) -> None:
    """Apply one event."""
    global told  # noqa: PLW0603
    if not told:
        told = True
        say("FIRST")
    state.set("interest", update(state.get("interest"), event))


if __name__ == "__main__":
    topic = app.topic(os.environ["TOPIC"], value_deserializer="json", key_deserializer="str")
    app.dataframe(topic).update(track, stateful=True)
    app.run()

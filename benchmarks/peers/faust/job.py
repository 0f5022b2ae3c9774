"""Plain Faust as its users write it: JSON state in one table, one event at a time, a commit every second."""

from __future__ import annotations

import os
from typing import Any

import faust

from benchmarks.peers.interest import say, update

app = faust.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['BOOTSTRAP_SERVERS']}",
    store="rocksdb://",
    web_enabled=False,
    datadir=os.environ["DATA_DIR"],
    topic_disable_leader=True,
    table_standby_replicas=0,
    consumer_auto_offset_reset="earliest",
    broker_commit_interval=1.0,
    topic_partitions=int(os.environ["PARTITIONS"]),
)
events = app.topic(os.environ["TOPIC"], value_serializer="json", key_serializer="raw")
states = app.Table("states", partitions=int(os.environ["PARTITIONS"]), key_type=str, options={"driver": "rocksdict"})


@app.agent(events)  # type: ignore[untyped-decorator]
async def track(stream: Any) -> None:
    told = False
    async for event in stream:
        if not told:
            told = True
            say("FIRST")
        states[event["user_id"]] = update(states.get(event["user_id"]), event)


if __name__ == "__main__":
    app.main()

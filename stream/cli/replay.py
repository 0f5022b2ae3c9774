"""`penchant replay`: behaviours, sent from a file."""

from __future__ import annotations

from typing import Annotated

import typer

from stream.cli import options
from stream.cli.apps import command_app, teach
from stream.cli.keys import key_ring
from stream.cli.progress import parse_speed, send_file
from stream.files.mapping import parse_mapping
from stream.files.replay import replay as replay_events
from stream.settings import load_settings

app = command_app()


@app.command(
    "replay",
    help=teach(
        "Send the behaviours in a file to the events topic, in file order, as fast as Kafka takes them or at their pace.",
        "penchant replay events.jsonl.gz",
        "penchant replay retail.csv --timezone Europe/London --speed 3600 \\\n"
        "    --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date",
        then="`penchant watch` shows the lists that follow from them.",
        note="A row needs user_id, action and item_id; event_time should be there. Actions: view click like dislike cart "
        "purchase impression query. Rows that the worker would refuse are not sent; their lines are listed.",
    ),
)
def replay(
    file: options.File,
    speed: options.Speed = "max",
    map_: options.EventMap = "",
    format_: options.Format = None,
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    pseudonyms: Annotated[
        bool, options.flag("--pseudonyms", "Put pseudonyms in the place of user ids, by the setting `pseudonym_keys`.")
    ] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    factor = parse_speed(speed)
    mapping = parse_mapping(map_)
    ring = key_ring(settings) if pseudonyms else None
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern, "format": format_}
    code = send_file(
        replay_events,
        "event",
        settings.topic_events,
        file,
        mapping,
        settings=settings,
        speed=factor,
        pseudonyms=ring,
        **reading,
    )
    raise typer.Exit(code)

"""`penchant items`: the catalogue, sent from a file."""

from __future__ import annotations

import typer

from stream.cli import options
from stream.cli.apps import group_app, teach
from stream.cli.progress import send_file
from stream.files.mapping import parse_mapping
from stream.files.replay import load_items
from stream.settings import load_settings

app = group_app("The catalogue: what can be recommended.")


@app.command(
    "load",
    help=teach(
        "Put the items of a file into the catalogue. An item that is there already is replaced; none is removed.",
        "penchant items load items.jsonl",
        "penchant items load goods.csv.gz --map item_id=Code,title=Name,price=Price",
        then="`penchant replay FILE` for behaviours; a running worker uses the new items within a second.",
        note="A row needs item_id and title. Rows that the worker would refuse are not sent; their lines are listed.",
    ),
)
def load(
    file: options.File,
    map_: options.ItemMap = "",
    format_: options.Format = None,
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    mapping = parse_mapping(map_, "item")
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern, "format": format_}
    raise typer.Exit(send_file(load_items, "item", settings.topic_items, file, mapping, settings=settings, **reading))

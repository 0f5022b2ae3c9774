"""The options of `penchant`: each is named after the setting it gives, so that an error can name the flag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_KAFKA, _WORKER, _FILE = "Kafka", "Worker", "File"

BootstrapServers = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT,…",
        help="Kafka brokers. Default 127.0.0.1:9092.",
        rich_help_panel=_KAFKA,
        show_default=False,
    ),
]
GroupId = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Consumer group; also the prefix of the changelog topic. Default penchant.",
        rich_help_panel=_KAFKA,
        show_default=False,
    ),
]
Partitions = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Partitions of each topic: the most workers that can share the work. Default 4.",
        rich_help_panel=_KAFKA,
        show_default=False,
    ),
]
ReplicationFactor = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Copies of each partition; 3 in production. Default 1.",
        rich_help_panel=_KAFKA,
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIRECTORY",
        help="Where a worker keeps RocksDB; one directory per worker. Default .penchant.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]
CommitIntervalS = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Time between two durable commits of state. Default 1.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]
StandbyReplicas = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Other workers that keep a warm copy of each partition's state. Default 1.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]
MetricsHost = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the Prometheus endpoint; 0.0.0.0 opens it to others. Default 127.0.0.1.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        help="Port of the Prometheus endpoint; 0 switches it off. Default 9464.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option(
        metavar="LEVEL",
        help="Least severe line logged: debug, info, warning or error. Default info.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Items in a recommendation. Default 20.", rich_help_panel=_WORKER, show_default=False
    ),
]
RepeatPurchases = Annotated[
    bool | None,
    typer.Option(
        "--repeat-purchases",
        help="Recommend items the user has already bought (groceries, say). Default false.",
        rich_help_panel=_WORKER,
        show_default=False,
    ),
]

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="CSV, TSV, JSON lines or Parquet; the text formats also as .gz, .bz2, .xz or .zst.",
        show_default=False,
    ),
]
EventMap = Annotated[
    str,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN,…",
        help="Which column is which field: `user_id=CustomerID`; `=ID:int` turns 17850.0 into 17850; "
        "`action=:purchase` is the same value in every row. Default: columns named like the fields.",
        rich_help_panel=_FILE,
        show_default=False,
    ),
]
ItemMap = Annotated[
    str,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN,…",
        help="Which column is which field: `item_id=SKU,title=Name,attributes.brand=Brand`. "
        "Default: columns named like the fields.",
        rich_help_panel=_FILE,
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="csv, tsv, jsonl or parquet, such as csv.gz when compressed. Default: from the file's name.",
        rich_help_panel=_FILE,
        show_default=False,
    ),
]
Timezone = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where times without an offset were written, such as Europe/London.",
        rich_help_panel=_FILE,
    ),
]
TimeUnit = Annotated[
    Literal["auto", "s", "ms"],
    typer.Option(help="Unit of times that are numbers; auto decides by their size.", rich_help_panel=_FILE),
]
TimePattern = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="How times are written if not as in ISO 8601: `%d/%m/%Y %H:%M`.",
        rich_help_panel=_FILE,
        show_default=False,
    ),
]
Speed = Annotated[
    str,
    typer.Option(
        metavar="max|FACTOR",
        help="How much faster than life: 1 keeps the pace of the event times, 3600 makes an hour a second, "
        "max does not wait at all.",
    ),
]
Language = Annotated[Literal["en", "zh"], typer.Option("--lang", help="Language of the reasons.")]

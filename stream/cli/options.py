"""The options that several commands have. One that gives a setting is named after it, so that an error can name the flag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

KAFKA, WORKER, FILE = "Kafka", "Worker", "File"
DATA, RUN, OUTPUT, TRAINING = "Data", "Run", "Output", "Training"
"""Panels of the help."""


def option(help_: str, panel: str | None = None, metavar: str | None = None, *names: str, **more: Any) -> Any:
    """`typer.Option` in one line; `names` where the parameter's own will not do."""
    return typer.Option(*names, help=help_, rich_help_panel=panel, metavar=metavar, **more)


def optional(help_: str, panel: str | None = None, metavar: str | None = None, *names: str, **more: Any) -> Any:
    """The same without a default to show: its help says what happens without it."""
    return option(help_, panel, metavar, *names, show_default=False, **more)


def flag(name: str, help_: str, panel: str | None = None) -> Any:
    """An option that is there or not; without its name typer would add a `--no-` to it."""
    return option(help_, panel, None, name)


# --- settings

BootstrapServers = Annotated[str | None, optional("Kafka brokers. Default 127.0.0.1:9092.", KAFKA, "HOST:PORT,…")]
GroupId = Annotated[
    str | None, optional("Consumer group; also the prefix of the changelog topic. Default penchant.", KAFKA, "NAME")
]
Shadow = Annotated[
    str | None,
    optional(
        "Beside the workers that serve: the same events, and a group, topics and a directory with this name behind theirs.",
        KAFKA,
        "NAME",
    ),
]
Partitions = Annotated[
    int | None, optional("Partitions of each topic: the most workers that can share the work. Default 4.", KAFKA, "N")
]
ReplicationFactor = Annotated[int | None, optional("Copies of each partition; 3 in production. Default 1.", KAFKA, "N")]
DataDir = Annotated[
    Path | None,
    optional("Where a worker keeps RocksDB; one directory per worker. Default .penchant.", WORKER, "DIRECTORY"),
]
CommitIntervalS = Annotated[
    float | None, optional("Time between two durable commits of state. Default 1.", WORKER, "SECONDS")
]
StandbyReplicas = Annotated[
    int | None, optional("Other workers that keep a warm copy of each partition's state. Default 1.", WORKER, "N")
]
MetricsHost = Annotated[
    str | None,
    optional("Address of the Prometheus endpoint; 0.0.0.0 opens it to others. Default 127.0.0.1.", WORKER, "ADDRESS"),
]
MetricsPort = Annotated[
    int | None, optional("Port of the Prometheus endpoint; 0 switches it off. Default 9464.", WORKER, "PORT")
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    optional("Least severe line logged: debug, info, warning or error. Default info.", WORKER, "LEVEL"),
]
TopK = Annotated[int | None, optional("Items in a recommendation. Default 20.", WORKER, "N")]
RepeatPurchases = Annotated[
    bool | None,
    optional(
        "Recommend items the user has already bought (groceries, say). Default false.",
        WORKER,
        None,
        "--repeat-purchases",
    ),
]

# --- a backup

BackupPlace = Annotated[
    str,
    typer.Argument(metavar="PLACE", help="A directory, or s3://BUCKET/PREFIX (extra `backup`).", show_default=False),
]
ReplaceTopics = Annotated[
    bool,
    flag(
        "--replace",
        "Delete what Penchant's topics of these settings hold, events and items excepted, and make them again.",
    ),
]

# --- a file, and how it is read

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="CSV, TSV, JSON lines or Parquet; the text formats also as .gz, .bz2, .xz or .zst.",
        show_default=False,
    ),
]
Events = Annotated[Path, typer.Argument(metavar="EVENTS", help="An event file, as for `penchant replay`.")]
EventsIfAny = Annotated[
    Path | None,
    typer.Argument(metavar="[EVENTS]", help="An event file, as for `penchant replay`.", show_default=False),
]
Items = Annotated[Path | None, optional("The catalogue, as for `items load`.", None, "ITEMS")]
FromTopic = Annotated[bool, flag("--from-topic", "Instead of files: the events and items topics, as they are now.")]
EventMap = Annotated[
    str,
    optional(
        "Which column is which field: `user_id=CustomerID`; `=ID:int` turns 17850.0 into 17850; "
        "`action=:purchase` is the same value in every row. Default: columns named like the fields.",
        FILE,
        "FIELD=COLUMN,…",
        "--map",
    ),
]
ItemMap = Annotated[
    str,
    optional(
        "Which column is which field: `item_id=SKU,title=Name,attributes.brand=Brand`. "
        "Default: columns named like the fields.",
        FILE,
        "FIELD=COLUMN,…",
        "--map",
    ),
]
ItemsMap = Annotated[str, optional("Which column of ITEMS is which field.", DATA, "FIELD=COLUMN,…")]
Format = Annotated[
    str | None,
    optional(
        "csv, tsv, jsonl or parquet, such as csv.gz when compressed. Default: from the file's name.",
        FILE,
        "NAME",
        "--format",
    ),
]
Timezone = Annotated[str, option("Where times without an offset were written, such as Europe/London.", FILE, "NAME")]
TimeUnit = Annotated[
    Literal["auto", "s", "ms", "us", "ns"], option("Unit of times that are numbers; auto decides by their size.", FILE)
]
TimePattern = Annotated[
    str | None, optional("How times are written if not as in ISO 8601: `%d/%m/%Y %H:%M`.", FILE, "PATTERN")
]
Placement = Annotated[str, option("Of which placement the lists are.", None, "NAME")]
ShuffleMinutes = Annotated[
    int | None,
    optional(
        "Shuffle what a user did within a minute: for lines whose order no user chose, as in invoices.",
        DATA,
        "SEED",
        min=0,
    ),
]
Speed = Annotated[
    str,
    option(
        "How much faster than life: 1 keeps the pace of the event times, 3600 makes an hour a second, "
        "max does not wait at all.",
        None,
        "max|FACTOR",
    ),
]

# --- an evaluation

WarmUp = Annotated[float, option("Share of the first engagements that is not asked about.", RUN, min=0.0, max=0.999)]
Weights = Annotated[
    Path | None,
    optional("Ranking weights made by `penchant train weights`. Default: those that Penchant comes with.", RUN, "FILE"),
]
WorkDir = Annotated[
    Path | None, optional("Where vectors of texts are kept. Default: evaluation in data_dir.", RUN, "DIR")
]
Json = Annotated[Path | None, optional("Every figure.", OUTPUT, "FILE", "--json")]
Html = Annotated[Path | None, optional("A page with plots.", OUTPUT, "FILE")]


def seed(of: str, panel: str = RUN) -> Any:
    """`Annotated[int, seed("Of the draw.")]`."""
    return option(of, panel, "N", min=0)


# --- training

ValidationShare = Annotated[float, option("Of the events: says when to stop.", DATA, min=0.001, max=0.5)]
TestShare = Annotated[float, option("Of the events, the last: decides.", DATA, min=0.001, max=0.5)]
WeightDecay = Annotated[float, option("AdamW's.", TRAINING, min=0)]
MaxGradNorm = Annotated[float, option("Longer gradients are cut.", TRAINING, min=0)]
Precision = Annotated[Literal["auto", "fp32", "bf16", "fp16"], option("auto: half on a GPU, fp32 on a CPU.", TRAINING)]
ModelSeed = Annotated[int, seed("The same seed gives the same model.", TRAINING)]
CheckpointSteps = Annotated[int, option("Steps between checkpoints.", TRAINING, "N", min=1)]
TrainingReport = Annotated[Path | None, optional("The JSON report, kept or not; beside it the plot.", None, "FILE")]
Fp16 = Annotated[bool, flag("--fp16", "Also a half-precision graph, for GPUs.")]
Restart = Annotated[bool, flag("--restart", "Forget the checkpoint of an interrupted run.")]

# --- what is shown

Language = Annotated[Literal["en", "zh"], option("Language of the reasons.", None, None, "--lang")]
